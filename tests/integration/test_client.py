"""The SDK against a real daemon: both clients, typed answers, and a few typed errors."""

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from reservd.client import AsyncClient, Client
from reservd.errors import ApiDeniedError, ApiError, ApiNotFoundError, ApiRefusedError, ApiUnavailableError
from reservd.reserve.holds import HoldState
from reservd.reserve.models import EventType, ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.reserve.withdrawal import WithdrawalSpeed
from reservd.wire.withdrawals import WithdrawalView
from support.api import CALM, ApiDaemon
from support.polling import wait_until
from support.tls import TlsListener, make_certificate


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path_factory.mktemp("client"), refilled=["alpha"], interval=CALM) as running:
        yield running


@pytest.fixture(scope="module")
def client(daemon: ApiDaemon) -> Iterator[Client]:
    """A client with the token of the treasury."""
    with Client(f"http://{daemon.address}", token="rsv_treasury") as opened:
        wait_until(lambda: opened.get_withdrawal_speed("alpha").speed is WithdrawalSpeed.FAST, "the first snapshot")
        yield opened


def test_modes_are_told_with_exact_amounts_and_aware_times(client: Client) -> None:
    mode = client.get_mode("alpha")
    assert (mode.status, mode.reserve_balance, mode.target_reserve) == (ReserveStatus.ADEQUATE, 110, 100)
    assert isinstance(mode.reserve_balance, Decimal)
    assert mode.confirmed_at is not None
    assert mode.confirmed_at.utcoffset() is not None
    assert (mode.policy.replenisher, client.get_mode("beta").policy.replenisher) == ("unwinder", None)
    page = client.list_modes(limit=1)
    assert ([each.mode for each in page.items], page.next_cursor) == (["alpha"], "alpha")
    assert [each.mode for each in client.walk(client.list_modes, limit=1)] == ["alpha", "beta"]
    assert client.list_modes(status=ReserveStatus.CRITICAL).items == []


def withdraw(client: Client, amount: Decimal) -> tuple[str, WithdrawalView]:
    """Ask until the reserve pays the whole amount; return the key and the answer.

    On a busy machine the store may be late, or a check may find nothing in time: what is accepted then is unwound.
    """
    made: list[tuple[str, WithdrawalView]] = []

    def is_paid() -> bool:
        quote = client.get_withdrawal_speed("alpha", amount)
        if quote.speed is not WithdrawalSpeed.FAST:
            return False
        assert (quote.from_reserve, quote.currency) == (amount, "USDT")
        key = str(uuid.uuid4())
        made.append((key, client.process_withdrawal("alpha", amount, key)))
        if made[-1][1].speed is WithdrawalSpeed.FAST:
            return True
        client.cancel_withdrawal(made[-1][1].id)
        return False

    wait_until(is_paid, "the amount to be paid from the reserve")
    return made[-1]


def test_withdrawal_goes_its_way_when_it_is_asked_for_twice(client: Client) -> None:
    amount = Decimal("5.50")
    key, first = withdraw(client, amount)
    assert (first.state, first.from_reserve) == (HoldState.HELD, amount)
    assert client.process_withdrawal("alpha", amount, idempotency_key=key).id == first.id
    assert client.mark_paying(first.id).state is HoldState.PAYING
    assert client.get_withdrawal(first.id).state is HoldState.PAYING
    paid = client.settle_withdrawal(first.id, paid_at=datetime.now(UTC))
    assert (paid.state, paid.id) == (HoldState.SETTLED, first.id)
    assert first.id in [each.id for each in client.walk(client.list_withdrawals, "alpha", state="settled", limit=1)]
    second = client.process_withdrawal("alpha", Decimal(1), str(uuid.uuid4()))
    assert client.cancel_withdrawal(second.id).state is HoldState.CANCELLED


def test_refill_goes_its_way_when_its_strategy_reports(daemon: ApiDaemon, client: Client) -> None:
    """Requested, accepted, in progress, settled; another one cancelled, and another rejected."""
    asked = client.request_replenishment("alpha", Decimal(7), "first", reason="a test")
    assert (asked.request.amount, asked.state, asked.request.reason) == (7, ReplenishmentState.REQUESTED, "a test")
    assert client.request_replenishment("alpha", Decimal(7), "first").id == asked.id
    by = datetime.now(UTC) + timedelta(hours=1)
    with Client(f"http://{daemon.address}", token="rsv_alpha-bot") as bot:
        taken = bot.accept_replenishment(asked.id, reference="tx-1", expected_by=by)
        assert (taken.state, taken.reference, taken.by) == (ReplenishmentState.ACCEPTED, "tx-1", "alpha-bot")
        assert bot.progress_replenishment(asked.id, reason="half").state is ReplenishmentState.IN_PROGRESS
        assert bot.settle_replenishment(asked.id).state is ReplenishmentState.SETTLED
        with pytest.raises(ApiDeniedError, match="may neither approve nor cancel"):
            bot.cancel_replenishment(asked.id)
        with pytest.raises(ApiRefusedError, match=r"^conflict: ") as raised:
            bot.reject_replenishment(asked.id)
        assert raised.value.kind == "conflict"
    assert client.cancel_replenishment(asked.id, reason="enough").detail == "enough"
    second = client.request_replenishment("alpha", Decimal(7), "second").id
    assert client.reject_replenishment(second).state is ReplenishmentState.REJECTED
    third = client.request_replenishment("alpha", Decimal(7), "third").id
    assert client.fail_replenishment(third).state is ReplenishmentState.FAILED
    found = client.walk(client.list_replenishments, "alpha", limit=1)
    assert [each.id for each in found] == [third, second, asked.id]
    with pytest.raises(ApiRefusedError, match="it cannot be approved"):
        client.approve_replenishment(asked.id)


def test_refusals_tell_why_and_are_not_to_be_asked_again(daemon: ApiDaemon, client: Client) -> None:
    with pytest.raises(ApiNotFoundError, match="mode 'nobody' is not configured"):
        client.get_mode("nobody")
    with pytest.raises(ApiNotFoundError):
        client.get_event("nothing")
    with pytest.raises(ApiRefusedError) as refused:
        client.request_replenishment("beta", Decimal(5), "none")
    assert (refused.value.kind, refused.value.reason) == ("not-requested", Inaction.NO_REPLENISHER)
    client.process_withdrawal("beta", Decimal(1), "taken")
    with pytest.raises(ApiRefusedError) as reused:
        client.process_withdrawal("beta", Decimal(2), "taken")
    assert (reused.value.kind, reused.value.status) == ("idempotency-key-reused", 422)
    with pytest.raises(ApiRefusedError, match=r"^invalid: .*paid_at") as invalid:
        client.settle_withdrawal("some-id")
    assert not isinstance(invalid.value, ApiNotFoundError)
    with Client(f"http://{daemon.address}") as nobody, pytest.raises(ApiDeniedError, match="unauthorized"):
        nobody.process_withdrawal("beta", Decimal(2), "key")


def test_client_serves_many_threads_and_those_that_have_a_loop(client: Client) -> None:
    """Each thread gets its own answer."""

    async def in_a_loop() -> str:
        return client.get_mode("beta").mode

    assert asyncio.run(in_a_loop()) == "beta"
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(client.get_mode("alpha").mode)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["alpha"] * 16


def test_client_refuses_to_be_used_when_it_is_not_open(daemon: ApiDaemon) -> None:
    closed = Client(f"http://{daemon.address}")
    with pytest.raises(RuntimeError, match="context manager"):
        closed.get_mode("alpha")
    for _ in range(2):  # one after the other
        with closed:
            assert closed.get_mode("alpha").mode == "alpha"
            with pytest.raises(RuntimeError, match="already open"):
                closed.__enter__()


async def until_low(client: AsyncClient) -> None:
    """Wait until a low event of a mode is stored."""
    async with asyncio.timeout(60):
        while not (await client.list_events(event_type=EventType.LOW)).items:
            await asyncio.sleep(0.05)


async def test_async_client_answers_the_same(daemon: ApiDaemon) -> None:
    async with AsyncClient(f"http://{daemon.address}") as client:
        modes = [each.mode async for each in client.walk(client.list_modes, limit=1)]
        detail, speed = await asyncio.gather(client.get_mode("alpha"), client.get_withdrawal_speed("alpha"))
        assert (modes, detail.mode, speed.amount) == (["alpha", "beta"], "alpha", None)
        await asyncio.to_thread(daemon.bring, "beta", "low")
        await until_low(client)
        page = await client.list_events(mode="beta", event_type=EventType.LOW)
        event = await client.get_event(page.items[0].event.id)
        assert (event.event.data.status, event.deliveries[0].sink) == (ReserveStatus.LOW, "ops")
        assert event.explanation is not None
        assert (event.explanation.confirmed, event.explanation.strategy_mode) == (ReserveStatus.LOW, "beta")


async def test_daemon_is_believed_by_the_given_authority_alone(daemon: ApiDaemon, tmp_path: Path) -> None:
    """Its certificate is trusted if it is given as authority, and not trusted by the system's authorities."""
    certificate = make_certificate(tmp_path)
    port = int(daemon.address.rpartition(":")[2])
    async with TlsListener(0, port, certificate) as listener:
        url = f"https://127.0.0.1:{listener.port}"
        async with AsyncClient(url, ca_file=certificate.certificate) as trusting:
            assert (await trusting.get_mode("alpha")).mode == "alpha"
        async with AsyncClient(url) as wary:
            with pytest.raises(ApiUnavailableError, match="unreachable"):
                await wary.get_mode("alpha")


async def test_nobody_is_waited_for_without_end(tmp_path: Path) -> None:
    """Servers that refuse connections, never answer, answer too much or rubbish, or redirect."""
    says: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            if says:
                writer.write(b"HTTP/1.1 " + says[0])
                await writer.drain()
            else:
                await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with AsyncClient(url, timeout_seconds=0.2) as client:
        with pytest.raises(ApiUnavailableError, match="timeout"):
            await client.get_mode("alpha")
    async with AsyncClient(url) as client:
        for answer, told in (
            (b"200 OK\r\nContent-Length: 2\r\n\r\n{}", "invalid_data: the response is not a valid ModeDetail: mode"),
            (
                b"200 OK\r\nContent-Length: 1\r\n\r\nx",
                "invalid_data: the response is not a valid ModeDetail: the whole body",
            ),
            (b"200 OK\r\n\r\n" + b"x" * (17 * 1024 * 1024), "larger than"),
            (b"302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        ):
            says[:] = [answer]
            with pytest.raises(ApiError, match=told) as raised:
                await client.get_mode("alpha")
            assert not isinstance(raised.value, ApiUnavailableError)
        server.close()
        await server.wait_closed()
        with pytest.raises(ApiUnavailableError, match="unreachable: connection refused"):
            await client.get_mode("alpha")


async def test_next_daemon_is_asked_when_one_does_not_answer_or_stands_by(tmp_path: Path) -> None:
    """Two daemons on one store: in either order the owner answers. Without an owner, the error names the standby."""
    store = f"sqlite:///{tmp_path}/store.db"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        ApiDaemon(tmp_path / "one", store, interval=CALM) as owner,
        ApiDaemon(tmp_path / "two", store, interval=CALM) as standby,
    ):
        speed = "/api/v1/modes/alpha/withdrawal-speed"
        wait_until(lambda: owner.get(speed).json["speed"] == "fast", "the first snapshot")
        urls = [f"http://{standby.address}", "http://127.0.0.1:1", f"http://{owner.address}"]
        async with AsyncClient(urls, token="rsv_treasury") as client:
            assert (await client.get_mode("alpha")).mode == "alpha"
            made = await client.process_withdrawal("alpha", Decimal(1), "key")
            # On a busy machine a check may find nothing in time, and what is accepted then is unwound.
            assert made.from_reserve + made.unwound == 1
        async with AsyncClient(urls[0], token="rsv_treasury") as client:
            with pytest.raises(ApiUnavailableError, match="standby") as raised:
                await client.process_withdrawal("alpha", Decimal(1), "key")
            assert (raised.value.status, raised.value.retry_after_seconds) == (503, 5)
            assert (await client.list_events()).items == []
