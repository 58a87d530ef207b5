"""The contracts of sinks and replenishers."""

from typing import Any, ClassVar

import pytest

from reservd.plugin.examples import example_event, example_request
from reservd.plugin.interfaces import EventSink, Replenisher
from reservd.plugin.testing.contract import PluginContract, check_cancellable, check_never_blocks, in_time
from reservd.reserve.models import EventType
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus


class EventSinkContract(PluginContract):
    """The contract of event sinks."""

    @pytest.mark.asyncio
    @pytest.mark.parametrize("event_type", list(EventType))
    async def test_every_type_of_event_is_taken(self, plugin: EventSink[Any], event_type: EventType) -> None:
        """This includes events without amounts."""
        async with plugin:
            await in_time(plugin, plugin.deliver(example_event(event_type)))

    @pytest.mark.asyncio
    async def test_same_event_is_taken_again(self, plugin: EventSink[Any]) -> None:
        """Delivery is at least once, even after the sink was opened again."""
        for _ in range(2):
            async with plugin:
                await in_time(plugin, plugin.deliver(example_event()))
                await in_time(plugin, plugin.deliver(example_event()))

    @pytest.mark.asyncio
    async def test_delivery_ends_when_cancelled(self, plugin: EventSink[Any]) -> None:
        """The daemon gives up on a sink by cancelling the call."""
        async with plugin:
            await check_cancellable(plugin.deliver(example_event()))

    @pytest.mark.asyncio
    async def test_delivery_never_blocks_the_loop(self, plugin: EventSink[Any]) -> None:
        """A blocking call stops every other plugin, and no deadline can end it."""
        async with plugin:
            await check_never_blocks(in_time(plugin, plugin.deliver(example_event())))


class ReplenisherContract(PluginContract):
    """The contract of replenishers."""

    mode: ClassVar[str] = "demo"
    """A mode that the options can refill."""
    currency: ClassVar[str] = "USDT"
    """Its share class."""

    @pytest.mark.asyncio
    async def test_request_is_answered(self, plugin: Replenisher[Any]) -> None:
        """Each time the replenisher is opened."""
        for number in range(2):
            async with plugin:
                answer = await in_time(
                    plugin, plugin.request(example_request(self.mode, self.currency, f"req-{number}"))
                )
            assert isinstance(answer, Acceptance), f"request must return an Acceptance, got {type(answer).__name__}"

    @pytest.mark.asyncio
    async def test_same_request_gets_the_same_answer(self, plugin: Replenisher[Any]) -> None:
        """A request that is repeated under its id is acted on once."""
        request = example_request(self.mode, self.currency)
        async with plugin:
            first, second = (
                await in_time(plugin, plugin.request(request)),
                await in_time(plugin, plugin.request(request)),
            )
        decided = {AcceptanceStatus.ACCEPTED, AcceptanceStatus.REJECTED}
        if first.status in decided:
            assert (second.status, second.reference) == (first.status, first.reference), "the same id, another answer"

    @pytest.mark.asyncio
    async def test_request_ends_when_cancelled(self, plugin: Replenisher[Any]) -> None:
        """The daemon gives up on a replenisher by cancelling the call."""
        async with plugin:
            await check_cancellable(plugin.request(example_request(self.mode, self.currency)))

    @pytest.mark.asyncio
    async def test_request_never_blocks_the_loop(self, plugin: Replenisher[Any]) -> None:
        """A blocking call stops every other plugin, and no deadline can end it."""
        async with plugin:
            await check_never_blocks(in_time(plugin, plugin.request(example_request(self.mode, self.currency))))
