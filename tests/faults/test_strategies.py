"""Strategies in processes of their own: whatever is killed, restarted or run twice, money is moved once."""

import asyncio
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from reservd.client import AsyncClient, RemoteReserveManager, StrategyMemory
from reservd.errors import ApiUnavailableError, ConfigError
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.reserve.withdrawal import WithdrawalSpeed
from reservd.service.occasion import Reserves
from reservd.wire.withdrawals import WithdrawalView
from support.api import CALM, ApiDaemon
from support.polling import until
from support.strategies import CONFIG, AwaitingStrategy, remote


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ApiDaemon]:
    """Refills of `alpha` are requested; `beta` has no replenisher."""
    with ApiDaemon(tmp_path, f"sqlite:///{tmp_path}/store.db", over_api=["alpha"]) as running:
        yield running


@pytest.fixture
def eventful(tmp_path: Path) -> Iterator[ApiDaemon]:
    """Refills of `alpha` are not requested: its strategy acts on events."""
    with ApiDaemon(tmp_path, f"sqlite:///{tmp_path}/store.db") as running:
        yield running


@pytest.fixture
def calm(tmp_path: Path) -> Iterator[ApiDaemon]:
    """The same, with checks that a busy machine does not delay."""
    with ApiDaemon(tmp_path, f"sqlite:///{tmp_path}/store.db", interval=CALM) as running:
        yield running


class Slow(AwaitingStrategy):
    """Works on a request until it is released."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.go = asyncio.Event()

    async def request_fast_execution(self) -> None:
        self.occasions.append(self.occasion)
        await self.go.wait()
        await self.report_settled(reason="at last")


async def test_one_of_two_copies_of_a_strategy_acts_on_a_request(daemon: ApiDaemon) -> None:
    copies: list[AwaitingStrategy] = []
    url = f"http://{daemon.address}"

    def make(reserves: Reserves, config: dict[str, object]) -> None:
        copies.append(AwaitingStrategy(config, None, None, None, reserves))

    async with remote(url, make), remote(url, make), remote(url, make):
        await asyncio.to_thread(daemon.bring, "alpha", "low")
        await until(lambda: any(each.occasions for each in copies), "one copy to act")
        for each in copies:
            await each.idle()
        # All copies have received the first event by now.
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
        await until(lambda: "emergency" in [word for each in copies for word in each.urgencies], "the emergency")
        for each in copies:
            await each.idle()
    assert sorted(word for each in copies for word in each.urgencies) == ["emergency", "fast"]


async def test_report_is_told_when_the_daemon_is_back(daemon: ApiDaemon) -> None:
    """The daemon is killed while the strategy works: the result is reported later, and the work is not repeated."""
    made: list[Slow] = []
    async with remote(
        f"http://{daemon.address}", lambda reserves, config: made.append(Slow(config, None, None, None, reserves))
    ) as manager:
        (strategy,) = made
        await asyncio.to_thread(daemon.bring, "alpha", "low")
        await until(lambda: strategy.occasions, "the request")
        await asyncio.to_thread(daemon.stop, signal.SIGKILL)
        strategy.go.set()
        await until(lambda: not manager.listening, "the connection to break")
        await asyncio.to_thread(daemon.start)
        await strategy.idle()
        await until(lambda: manager.listening, "the connection to be restored")
        request = strategy.occasions[0].request
        assert request is not None
        async with AsyncClient(f"http://{daemon.address}") as client:
            record = await client.get_replenishment(request.id)
            assert (record.state, record.detail) == (ReplenishmentState.SETTLED, "at last")
    assert strategy.urgencies == ["fast"]


async def test_execution_stops_when_another_request_stands_in_for_its_own(daemon: ApiDaemon) -> None:
    """The emergency does not wait for the slow execution, whose report is answered with its cancellation."""
    made: list[Slow] = []
    url = f"http://{daemon.address}"
    async with remote(url, lambda reserves, config: made.append(Slow(config, None, None, None, reserves))):
        (strategy,) = made
        await asyncio.to_thread(daemon.bring, "alpha", "low")
        await until(lambda: strategy.occasions, "the request")
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
        await until(lambda: len(strategy.occasions) == 2, "the emergency")
        async with AsyncClient(url) as client:
            slow, emergency = (occasion.id for occasion in strategy.occasions)
            async with asyncio.timeout(60):
                while (await client.get_replenishment(emergency)).state is not ReplenishmentState.SETTLED:
                    await asyncio.sleep(0.05)
            strategy.go.set()
            await strategy.idle()
            replaced = await client.get_replenishment(slow)
            assert (replaced.state, replaced.replaced_by) == (ReplenishmentState.CANCELLED, emergency)
            assert (await client.get_replenishment(emergency)).request.replaces == slow
    assert strategy.urgencies == ["fast", "emergency"]


async def test_request_that_nobody_took_is_taken_when_the_strategy_comes(daemon: ApiDaemon) -> None:
    """It was made while the strategy was away, and is offered once, to the next strategy that connects."""
    await asyncio.to_thread(daemon.bring, "alpha", "low")
    made: list[AwaitingStrategy] = []

    def make(reserves: Reserves, config: dict[str, object]) -> None:
        made.append(AwaitingStrategy(config, None, None, None, reserves))

    url = f"http://{daemon.address}"
    async with AsyncClient(url) as client:
        await until_requested(client)
    async with remote(url, make):
        await until(lambda: made[0].occasions, "the request")
        await made[0].idle()
    async with remote(url, make):
        await asyncio.to_thread(daemon.bring, "alpha", "adequate")
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
        await until(lambda: made[1].occasions, "the next request, and only that")
        await made[1].idle()
    assert [strategy.urgencies for strategy in made] == [["fast"], ["emergency"]]


async def until_said(client: AsyncClient) -> None:
    """Wait until an event is stored."""
    async with asyncio.timeout(60):
        while not (await client.list_events(mode="alpha")).items:
            await asyncio.sleep(0.05)


async def until_requested(client: AsyncClient) -> None:
    async with asyncio.timeout(60):
        while not (await client.list_replenishments("alpha")).items:
            await asyncio.sleep(0.05)


async def test_strategy_acts_once_on_an_incident_over_its_own_restarts(eventful: ApiDaemon, tmp_path: Path) -> None:
    """Its memory is a file: it acts on what it missed, and not again on what it acted on."""
    daemon, file = eventful, tmp_path / "memory.json"
    made: list[AwaitingStrategy] = []

    def run() -> object:
        memory = StrategyMemory(file)
        return remote(
            f"http://{daemon.address}",
            lambda reserves, config: made.append(AwaitingStrategy(config, None, None, None, reserves, memory=memory)),
            memory,
        )

    await asyncio.to_thread(daemon.bring, "alpha", "low")
    async with run():  # type: ignore[attr-defined]  # a context manager
        await until(lambda: made[0].occasions, "it to act on the low of before its start")
    async with run():  # type: ignore[attr-defined]  # the same
        await asyncio.to_thread(daemon.bring, "alpha", "critical")
        await until(lambda: made[1].occasions, "it to act on critical")
    await asyncio.to_thread(daemon.bring, "alpha", "low")
    await asyncio.to_thread(daemon.bring, "alpha", "adequate")
    await asyncio.to_thread(daemon.bring, "alpha", "critical")
    async with run():  # type: ignore[attr-defined]  # the same
        await until(lambda: made[2].occasions, "it to act on the next incident")
    assert [strategy.urgencies for strategy in made] == [["fast"], ["emergency"], ["emergency"]]


async def test_strategy_without_a_lasting_memory_leaves_alone_what_was_before_it(eventful: ApiDaemon) -> None:
    """It cannot know whether it acted on earlier events, so it acts on new ones only."""
    made: list[AwaitingStrategy] = []
    await asyncio.to_thread(eventful.bring, "alpha", "low")
    url = f"http://{eventful.address}"
    async with AsyncClient(url) as client:
        await until_said(client)
    async with remote(
        url,
        lambda reserves, config: made.append(AwaitingStrategy(config, None, None, None, reserves)),
    ):
        await asyncio.to_thread(eventful.bring, "alpha", "critical")
        await until(lambda: made[0].occasions, "it to act on critical")
    assert made[0].urgencies == ["emergency"]


async def test_event_that_is_superseded_when_it_arrives_is_not_acted_on(eventful: ApiDaemon, tmp_path: Path) -> None:
    """The reserve was critical and recovered while the strategy was away: it receives both events, and does nothing."""
    memory = StrategyMemory(tmp_path / "memory.json")
    made: list[AwaitingStrategy] = []
    heard: list[str] = []

    def make(reserves: RemoteReserveManager, config: dict[str, object]) -> None:
        made.append(AwaitingStrategy(config, None, None, None, reserves, memory=memory))
        reserves.add_reserve_callback(lambda event: heard.append(f"{event.event_type} {event.superseded}"))

    url = f"http://{eventful.address}"
    async with remote(url, make, memory):
        await asyncio.to_thread(eventful.bring, "alpha", "low")
        await until(lambda: made[0].occasions, "it to act")
        await asyncio.to_thread(eventful.bring, "alpha", "adequate")
        await until(lambda: "reserve_adequate False" in heard, "the recovery")
    for status in ("critical", "adequate"):
        await asyncio.to_thread(eventful.bring, "alpha", status)
    async with remote(url, make, memory):
        await until(lambda: heard.count("reserve_adequate False") == 2, "the second recovery")
        assert "reserve_critical True" in heard
    assert [strategy.urgencies for strategy in made] == [["fast"], []]


async def test_strategy_does_not_start_where_something_else_than_a_daemon_answers(daemon: ApiDaemon) -> None:
    """Such as a wrong path: the error must not blame the mode."""
    async with AsyncClient(f"http://{daemon.address}/elsewhere") as client:
        manager = RemoteReserveManager(client)
        AwaitingStrategy({"mode": "alpha", "share_class": "USDT"}, None, None, None, manager)
        with pytest.raises(ConfigError, match="url: must be the URL of a daemon"):
            await manager.start_monitoring()


async def test_strategy_does_not_start_where_the_daemon_has_another_mode(daemon: ApiDaemon) -> None:
    async with AsyncClient(f"http://{daemon.address}") as client:
        for config, told in (
            ({"mode": "gamma", "share_class": "USDT"}, "mode 'gamma': must be one that the daemon watches"),
            (
                {"mode": "alpha", "share_class": "ETH"},
                "share_class: must be USDT, as in the daemon's configuration, got ETH",
            ),
        ):
            manager = RemoteReserveManager(client)
            AwaitingStrategy(config, None, None, None, manager)
            with pytest.raises(ConfigError, match=told):
                await manager.start_monitoring()
            assert not manager.running


async def test_what_a_standby_does_not_know_is_not_made_up(tmp_path: Path) -> None:
    """A strategy that asks a standby gets an error that says to retry, and no number."""
    store = f"sqlite:///{tmp_path}/store.db"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with ApiDaemon(tmp_path / "one", store), ApiDaemon(tmp_path / "two", store) as standby:
        async with AsyncClient(f"http://{standby.address}", token="rsv_alpha-bot") as client:
            strategy = AwaitingStrategy(CONFIG, None, None, None, RemoteReserveManager(client))
            with pytest.raises(ApiUnavailableError, match="standby"):
                await strategy.get_reserve_balance()
            with pytest.raises(ApiUnavailableError, match="standby"):
                await strategy.request_reserve_replenishment(Decimal(5))


async def test_requests_that_are_handed_to_somebody_else_are_left_to_them(tmp_path: Path) -> None:
    """The mode has a webhook as replenisher: the strategy acts neither on requests nor on events."""
    made: list[AwaitingStrategy] = []
    with ApiDaemon(tmp_path, refilled=["alpha"]) as daemon:
        async with remote(
            f"http://{daemon.address}",
            lambda reserves, config: made.append(AwaitingStrategy(config, None, None, None, reserves)),
        ) as manager:
            heard: list[str] = []
            manager.add_reserve_callback(lambda event: heard.append(str(event.event_type)), modes=["alpha"])
            for status in ("low", "critical"):
                await asyncio.to_thread(daemon.bring, "alpha", status)
                await until(lambda: f"reserve_{status}" in heard, status)  # noqa: B023
            async with AsyncClient(f"http://{daemon.address}") as client:
                await until_requested(client)
            await made[0].idle()
    assert made[0].occasions == []


async def test_other_callbacks_break_and_hang_and_the_strategy_hears_all_the_same(eventful: ApiDaemon) -> None:
    made: list[AwaitingStrategy] = []
    called: list[str] = []

    def breaks(event: ReserveEvent) -> None:
        called.append(event.id)
        raise KeyError(event.id)

    async def hangs(event: ReserveEvent) -> None:
        called.append(event.id)
        await asyncio.Event().wait()

    def make(reserves: RemoteReserveManager, config: dict[str, object]) -> None:
        reserves.add_reserve_callback(breaks)
        reserves.add_reserve_callback(hangs, timeout_seconds=0.05)
        made.append(AwaitingStrategy(config, None, None, None, reserves))

    async with remote(f"http://{eventful.address}", make):
        await asyncio.to_thread(eventful.bring, "alpha", "low")
        await until(lambda: made[0].occasions, "it to act")
    assert len(called) >= 2
    assert made[0].urgencies == ["fast"]


async def test_nothing_is_promised_while_the_store_is_gone(calm: ApiDaemon, tmp_path: Path) -> None:
    """The error says to retry. Repeated under the same key once the store is back, the withdrawal is decided."""
    async with AsyncClient(f"http://{calm.address}", token="rsv_treasury") as client:
        await until_fast(client)
        with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as held:
            held.execute("BEGIN EXCLUSIVE")
            with pytest.raises(ApiUnavailableError) as raised:
                await client.process_withdrawal("alpha", Decimal(5), "key")
            assert (raised.value.kind, raised.value.status) == ("store-gone", 503)
            assert raised.value.retry_after_seconds is not None
            held.execute("ROLLBACK")
        async with asyncio.timeout(60):
            while (made := await promised(client)) is None:
                await asyncio.sleep(0.05)
        assert made.from_reserve == 5
        assert [each.id async for each in client.walk(client.list_withdrawals, "alpha")] == [made.id]


async def promised(client: AsyncClient) -> WithdrawalView | None:
    try:
        return await client.process_withdrawal("alpha", Decimal(5), "key")
    except ApiUnavailableError:
        return None


async def until_fast(client: AsyncClient) -> None:
    async with asyncio.timeout(60):
        while (await client.get_withdrawal_speed("alpha")).speed is not WithdrawalSpeed.FAST:
            await asyncio.sleep(0.05)
