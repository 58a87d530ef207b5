"""Callbacks: limited to modes, each with its own queue, none delaying the others."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reservd import ReserveManager
from reservd.client import AsyncClient, RemoteReserveManager
from reservd.errors import DeliveryError, FailureReason
from reservd.monitor.callbacks import QUEUE_SIZE
from reservd.monitor.observer import Observer
from reservd.reserve.models import EventType, ReserveEvent
from reservd.web.metrics import Metrics, Series
from support.polling import until
from support.sources import (
    ScriptedBalances,
    ScriptedEquity,
)

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": "0.05"}


class Dropped(Observer):
    """Records which callbacks lost an event."""

    def __init__(self) -> None:
        self.callbacks: list[str] = []

    def callback_dropped(self, callback: str) -> None:
        self.callbacks.append(callback)


async def test_callbacks_hear_only_of_their_modes_when_scoped() -> None:
    manager = ReserveManager(
        ScriptedEquity(), {"a": ScriptedBalances("a", main=10), "b": ScriptedBalances("b", main=10)}
    )
    for name in ("a", "b"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    only_a: list[str] = []
    both: list[str] = []

    async def slowly(event: ReserveEvent) -> None:
        await asyncio.sleep(0)
        both.append(event.strategy_mode)

    manager.add_reserve_callback(lambda event: only_a.append(event.strategy_mode), modes=["a"])
    manager.add_reserve_callback(slowly)
    await manager.check_all_reserves()
    await manager.close()
    assert only_a == ["a"]
    assert sorted(both) == ["a", "b"]


async def _never(what: object) -> None:
    """Is called with nothing."""


@pytest.fixture(params=["embedded", "remote"])
def any_manager(request: pytest.FixtureRequest) -> ReserveManager | RemoteReserveManager:
    """A manager of this process, and one that stands in for a daemon's."""
    if request.param == "embedded":
        return ReserveManager(ScriptedEquity(), {"a": ScriptedBalances("a", main=10)})
    return RemoteReserveManager(AsyncClient("http://127.0.0.1:1"))


def test_a_mode_is_not_taken_for_its_letters_when_it_is_given_without_a_list(
    any_manager: ReserveManager | RemoteReserveManager,
) -> None:
    """A callback for the modes `m`, `a`, `i`, `n` would never be called for `main`."""
    with pytest.raises(TypeError, match=r"'modes' must be a list of modes, got text: \['main'\]"):
        any_manager.add_reserve_callback(_never, modes="main")
    with pytest.raises(TypeError, match="'modes' must be a list of modes"):
        any_manager.add_request_callback(_never, modes="main")


def test_a_callback_is_refused_when_it_cannot_be_called(any_manager: ReserveManager | RemoteReserveManager) -> None:
    """`add_reserve_callback(self.handle())` hands over what `handle` returned: no event would ever be heard."""
    for given in (None, "handle"):
        with pytest.raises(TypeError, match="a callback must be callable, got"):
            any_manager.add_reserve_callback(given)  # type: ignore[arg-type]  # the mistake


async def test_checks_and_other_callbacks_go_on_when_one_blocks_and_one_raises() -> None:
    source = ScriptedBalances("treasury", main=10)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    manager.set_reserve_config("m", BASE)
    released = threading.Event()
    heard: list[str] = []

    def blocks(event: ReserveEvent) -> None:
        released.wait(30)

    def breaks(event: ReserveEvent) -> None:
        raise RuntimeError("not today")

    for callback in (blocks, breaks, lambda event: heard.append(str(event.event_type))):
        manager.add_reserve_callback(callback)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: heard == ["reserve_critical"])
    source.amounts["main"] = 110
    await until(lambda: heard == ["reserve_critical", "reserve_adequate"])
    released.set()
    manager.stop_monitoring()
    await running


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_failures_of_a_callback_are_counted_by_reason(kind: str) -> None:
    """One raises, the second time with a reason; the other times out."""
    metrics = Metrics(Series({"m": "USDT"}))
    source = ScriptedBalances("treasury", main=10)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source}, observers=[metrics])
    manager.set_reserve_config("m", BASE)
    released = threading.Event()

    def breaks(event: ReserveEvent) -> None:
        if event.event_type is EventType.CRITICAL:
            raise RuntimeError("not today")
        raise DeliveryError(FailureReason.UNREACHABLE, "the desk is closed")

    async def breaks_on_the_loop(event: ReserveEvent) -> None:
        breaks(event)

    def blocks(event: ReserveEvent) -> None:
        released.wait(30)

    async def blocks_on_the_loop(event: ReserveEvent) -> None:
        await asyncio.Event().wait()

    broken, slow = (breaks, blocks) if kind == "plain" else (breaks_on_the_loop, blocks_on_the_loop)

    def failures(callback: Callable[..., object]) -> dict[str, float]:
        families = text_string_to_metric_families(metrics.render(metrics.take()).decode())
        return {
            sample.labels["reason"]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == "reservd_callback_failures_total" and sample.labels["callback"] == callback.__qualname__
        }

    none = dict.fromkeys(FailureReason, 0)
    manager.add_reserve_callback(broken)
    manager.add_reserve_callback(slow, timeout_seconds=0.01)
    assert failures(broken) == failures(slow) == none
    for amount in (10, 60):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
        await manager.check_all_reserves()
    await until(lambda: failures(broken) == {**none, FailureReason.INTERNAL: 1, FailureReason.UNREACHABLE: 1})
    await until(lambda: failures(slow) == {**none, FailureReason.TIMEOUT: 2})
    released.set()
    await manager.close()


async def test_event_is_marked_superseded_when_a_later_status_is_known_at_hand_over() -> None:
    source = ScriptedBalances("treasury", main=10)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    manager.set_reserve_config("m", BASE)
    go_on = asyncio.Event()
    heard: list[tuple[str, bool]] = []

    async def slow(event: ReserveEvent) -> None:
        heard.append((str(event.event_type), event.superseded))
        await go_on.wait()

    manager.add_reserve_callback(slow)
    for amount in (70, 10, 110):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
        await asyncio.sleep(0)
    go_on.set()
    await manager.close()
    assert heard == [("reserve_low", False), ("reserve_critical", True), ("reserve_adequate", False)]


async def test_event_is_dropped_and_counted_when_a_callback_is_too_slow_for_too_long() -> None:
    dropped = Dropped()
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=10)}, observers=[dropped])
    manager.set_reserve_config("m", BASE)

    async def never(event: ReserveEvent) -> None:
        await asyncio.Event().wait()

    manager.add_reserve_callback(never)
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    await manager.check_all_reserves()
    await until(lambda: len(heard) == 1)
    for _ in range(QUEUE_SIZE + 2):
        await manager.trigger_reserve_event(heard[0])
    assert len(dropped.callbacks) >= 1
    assert "never" in dropped.callbacks[0]
    await manager.close()
