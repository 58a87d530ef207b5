"""The `nats` replenisher, on a real server."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import nats
import pytest

from reservd.errors import DeliveryError, FailureReason
from reservd.plugin import AcceptanceStatus
from reservd.plugin.examples import example_request
from reservd.plugin.testing import ReplenisherContract
from reservd_nats.config import NatsReplenisherConfig
from reservd_nats.replenisher import NatsReplenisher
from support.nats import NatsServer


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer() as running:
        yield running


@asynccontextmanager
async def strategy(url: str, answer: bytes | None) -> AsyncIterator[list[Any]]:
    """Serve all requests with one answer, or with none; yield the requests."""
    client = await nats.connect(url)
    asked: list[Any] = []

    async def take(message: Any) -> None:
        asked.append(message)
        if answer is not None:
            await message.respond(answer)

    await client.subscribe("reservd.replenishments.*", cb=take)
    await client.flush()
    try:
        yield asked
    finally:
        await client.close()


def asking(server: NatsServer, timeout: float = 5) -> NatsReplenisher:
    return NatsReplenisher("unwinder", NatsReplenisherConfig(servers=[server.url], timeout=timeout))


class TestNatsReplenisher(ReplenisherContract):
    plugin_class = NatsReplenisher

    @pytest.fixture
    async def options(self, server: NatsServer) -> AsyncIterator[dict[str, Any]]:
        async with strategy(server.url, b'{"status": "accepted", "reference": "u-1"}'):
            yield {"servers": [server.url]}


async def test_strategy_gets_the_request_under_its_id_and_its_answer_is_understood(server: NatsServer) -> None:
    async with strategy(server.url, b'{"status": "rejected", "reason": "no"}') as asked, asking(server) as replenisher:
        answer = await replenisher.request(example_request())
    (message,) = asked
    assert (answer.status, answer.reason) == (AcceptanceStatus.REJECTED, "no")
    assert (message.subject, message.headers["Nats-Msg-Id"]) == ("reservd.replenishments.demo", "req-1")
    assert json.loads(message.data)["amount"] == "14999.75"


async def test_answer_comes_later_when_it_is_empty(server: NatsServer) -> None:
    async with strategy(server.url, b""), asking(server) as replenisher:
        assert (await replenisher.request(example_request())).status is AcceptanceStatus.PENDING


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, FailureReason.TIMEOUT),
        (b"yes", FailureReason.INVALID_DATA),
        (b"[]", FailureReason.INVALID_DATA),
        (b'{"status": "perhaps"}', FailureReason.INVALID_DATA),
    ],
)
async def test_request_fails_when_there_is_no_answer_that_can_be_read(
    server: NatsServer, answer: bytes | None, reason: FailureReason
) -> None:
    seconds = 1 if reason is FailureReason.TIMEOUT else 60
    async with strategy(server.url, answer), asking(server, timeout=seconds) as replenisher:
        with pytest.raises(DeliveryError) as caught:
            await replenisher.request(example_request())
    assert (caught.value.reason, caught.value.retryable) == (reason, True)


async def test_request_fails_at_once_when_nobody_serves_the_subject(server: NatsServer) -> None:
    async with asking(server) as replenisher:
        with pytest.raises(DeliveryError, match="nobody serves") as caught:
            await replenisher.request(example_request())
    assert caught.value.reason is FailureReason.UNREACHABLE
