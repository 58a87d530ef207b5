"""Whatever fails around it, every mode is still checked, and every event reaches callbacks."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus, WithdrawalManager
from reservd.errors import FailureReason, SourceError
from reservd.monitor.clock import SystemClock
from reservd.monitor.cycles.schedule import CycleSchedule
from reservd.plugin import AccountFailure, Reading, SourceConfig, Url
from reservd.reserve.models import ReserveEvent
from reservd.reserve.tracker import Instant
from reservd.service.replenishment import ReplenishmentService
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedReplenisher, hangs, raises, returns

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": "0.05"}


class SteppedClock(SystemClock):
    """The machine's clocks, with the monotonic one ahead by as much as the test says."""

    ahead = 0.0

    def now(self) -> Instant:
        now = super().now()
        return Instant(now.wall, now.monotonic + self.ahead)


async def test_other_modes_are_checked_when_a_plugin_raises_an_error_that_lacks_its_parts() -> None:
    class HollowError(SourceError):
        def __init__(self) -> None:
            """Leave out the attributes that the class promises."""

    bad, good = ScriptedBalances("bad", main=110), ScriptedBalances("good", main=110)
    manager = ReserveManager(ScriptedEquity(), {"bad": bad, "good": good})
    for name in ("bad", "good"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    for error in (HollowError(), SourceError(FailureReason.REJECTED, OSError("no text"))):  # type: ignore[arg-type]
        bad.misbehave = raises(error)
        found = await manager.check_all_reserves()
        assert (found["good"].status, found["bad"].status) == (ReserveStatus.ADEQUATE, ReserveStatus.UNKNOWN)


async def test_a_shortfall_is_announced_while_another_source_hangs_for_long() -> None:
    """A mode waits for its own sources only, and a cycle does not wait for the slowest source."""
    hung, wallet = ScriptedBalances("hung", timeout=60, main=110), ScriptedBalances("wallet", main=110)
    manager = ReserveManager(ScriptedEquity(), {"hung": hung, "wallet": wallet})
    for name in ("hung", "wallet"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    hung.misbehave = hangs
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.ready)
    wallet.amounts["main"] = 10
    await until(lambda: manager.status("wallet") is ReserveStatus.CRITICAL)
    assert hung.reads == 1
    manager.stop_monitoring()
    await running


async def test_monitoring_starts_anew_when_it_was_stopped() -> None:
    source = ScriptedBalances("t", main=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    heard: list[str] = []
    manager.add_reserve_callback(lambda event: heard.append(str(event.event_type)))
    for amount, status in ((70, ReserveStatus.LOW), (30, ReserveStatus.CRITICAL), (110, ReserveStatus.ADEQUATE)):
        source.amounts["main"] = amount
        running = asyncio.create_task(manager.start_monitoring())
        await until(lambda status=status: manager.status("m") is status)  # type: ignore[misc]
        manager.stop_monitoring()
        await running
        reads = source.reads
        await asyncio.sleep(0.1)
        assert source.reads == reads
    assert heard == ["reserve_low", "reserve_critical", "reserve_adequate"]
    assert source.opened == source.closed == 3


class SetWall(datetime):
    """A wall clock that jumps by `step` after `looks` more readings."""

    is_off = step = timedelta()
    looks = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.looks -= 1
        if cls.looks < 0:
            cls.is_off, cls.step = cls.is_off + cls.step, timedelta()
        return datetime.now(tz) + cls.is_off


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> type[SetWall]:
    class Wall(SetWall):
        pass

    monkeypatch.setattr("reservd.monitor.cycles.schedule.datetime", Wall)
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Wall)
    monkeypatch.setattr("apscheduler.executors.base.datetime", Wall)
    return Wall


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(days=100)])
async def test_cycles_go_on_when_the_wall_clock_is_set(step: timedelta, wall: type[SetWall]) -> None:
    """Otherwise the schedule would pause for an hour when set back, and count missed cycles when set forward."""
    runs: list[float] = []
    overruns: list[float] = []

    async def run(interval: float) -> None:
        runs.append(interval)

    schedule = CycleSchedule(run, overruns.append)
    schedule.start([0.05])
    await until(lambda: len(runs) >= 3)
    # The jump may also come during a wake-up, which reads the clock several times.
    for looks in range(8):
        wall.looks, wall.step = looks, step
        seen = len(runs)
        await until(lambda seen=seen: not wall.step and len(runs) >= seen + 5)  # type: ignore[misc]
    await schedule.stop()


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("no")])
@pytest.mark.parametrize("kind", ["plain", "coroutine"])
async def test_a_callback_hears_of_the_next_event_when_it_raised_on_the_last(error: BaseException, kind: str) -> None:
    source = ScriptedBalances("t", main=70)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    heard: list[str] = []

    def plain(event: ReserveEvent) -> None:
        heard.append(str(event.event_type))
        raise error

    async def coroutine(event: ReserveEvent) -> None:
        plain(event)

    manager.add_reserve_callback(plain if kind == "plain" else coroutine)
    for amount in (70, 30):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
    await until(lambda: len(heard) == 2)
    await manager.close()


async def test_nothing_is_acted_on_late_when_a_callback_was_held_up() -> None:
    """Low and critical are queued behind a blocked call until the reserve has recovered: both are marked superseded."""
    source = ScriptedBalances("t", main=70)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    released = threading.Event()
    heard: list[tuple[str, bool]] = []

    def slow(event: ReserveEvent) -> None:
        heard.append((str(event.event_type), event.superseded))
        released.wait(20)

    manager.add_reserve_callback(slow)
    for amount in (70, 30, 70, 110):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
        await until(lambda: len(heard) >= 1)
    released.set()
    await until(lambda: len(heard) == 4)
    assert heard == [
        ("reserve_low", False),
        ("reserve_critical", True),
        ("reserve_low", True),
        ("reserve_adequate", False),
    ]
    await manager.close()


async def test_closing_ends_when_a_callback_swallows_its_cancellation() -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=10)})
    manager.set_reserve_config("m", BASE)
    released = asyncio.Event()

    async def stubborn(event: ReserveEvent) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    manager.add_reserve_callback(stubborn)
    await manager.check_all_reserves()
    async with asyncio.timeout(20):
        await manager.close()
    released.set()


async def test_an_incident_goes_on_when_its_mode_is_configured_again() -> None:
    source = ScriptedBalances("t", main=70)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    await manager.check_all_reserves()
    manager.set_reserve_config("m", {**BASE, "reserve_confirmations": 2})
    source.amounts["main"] = 110
    await manager.check_all_reserves()
    await manager.close()
    assert [str(event.event_type) for event in heard] == ["reserve_low", "reserve_adequate"]
    assert heard[0].incident_id == heard[1].incident_id
    assert [event.sequence for event in heard] == [1, 2]


async def test_one_reading_counts_once_when_two_checks_join_it() -> None:
    """Two callers share one reading of 0: a reading must not confirm itself."""
    source = ScriptedBalances("t", main=110)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", {**BASE, "reserve_confirmations": 2})
    await manager.check_all_reserves()
    source.script = [{"main": 0}, {"main": 110}, {"main": 110}]
    await asyncio.gather(manager.check_all_reserves(), manager.check_all_reserves())
    assert manager.status("m") is ReserveStatus.ADEQUATE
    source.script = [{"main": 70}]
    await asyncio.gather(manager.check_all_reserves(), manager.check_all_reserves())
    assert manager.status("m") is ReserveStatus.ADEQUATE, "one reading counts as one of the two consecutive checks"
    await manager.close()


async def test_a_fall_is_seen_when_a_caller_processed_a_snapshot_of_its_own() -> None:
    source = ScriptedBalances("t", main=90)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    await manager.check_all_reserves()
    source.amounts["main"] = 120
    await manager.process_reserve_snapshot(await manager.calculate_reserve_snapshot("m"))
    assert manager.status("m") is ReserveStatus.ADEQUATE
    source.amounts["main"] = 90
    await manager.check_all_reserves()
    assert manager.status("m") is ReserveStatus.LOW
    await manager.close()


async def test_withdrawals_are_slow_when_nothing_was_checked_for_too_long() -> None:
    clock = SteppedClock()
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=110)}, clock=clock)
    manager.set_reserve_config("m", BASE)
    await manager.check_all_reserves()
    withdrawals = WithdrawalManager(manager)
    assert await withdrawals.get_withdrawal_speed("m") == "fast"
    clock.ahead = 121
    assert await withdrawals.get_withdrawal_speed("m") == "slow"


async def test_the_next_incident_is_refilled_when_the_reserve_recovered_while_the_last_was_being_asked() -> None:
    source, replenisher = ScriptedBalances("t", main=70), ScriptedReplenisher()
    answered = asyncio.Event()
    replenisher.misbehave = answered.wait
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", {**BASE, "reserve_replenisher": "unwinder"})
    service = ReplenishmentService(manager.reserve_configs, {"unwinder": replenisher})
    manager.add_observer(service)
    await manager.check_all_reserves()
    await until(lambda: len(replenisher.asked) == 1)
    source.amounts["main"] = 110
    await manager.check_all_reserves()
    answered.set()
    await service.idle()
    await manager.check_all_reserves()  # the next check verifies that the accepted amount has arrived
    source.amounts["main"] = 60
    await manager.check_all_reserves()
    await until(lambda: len(replenisher.asked) == 2)
    assert [request.amount for request in replenisher.asked] == [Decimal(40), Decimal(50)]
    await service.close()


async def test_no_secret_is_told_when_a_source_puts_its_url_into_a_failure() -> None:
    class Config(SourceConfig):
        rpc_url: Url

    secret = "https://user:p%40ssw0rd@node.example/v3/0123456789abcdef?key=topsecret"
    source = ScriptedBalances("t", main=110)
    source.config = Config.model_validate({"rpc_url": secret})  # type: ignore[assignment]
    text = f"GET {secret} failed: key topsecret of 0123456789abcdef, password p@ssw0rd"
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", BASE)
    source.misbehave = returns(Reading([], [AccountFailure("main", FailureReason.REJECTED, text)]))
    (line,) = (await manager.check_all_reserves())["m"].missing
    assert "failed" in line
    assert not any(part in line for part in ("topsecret", "0123456789abcdef", "ssw0rd", "user"))


def test_the_clock_of_the_monitor_is_aware() -> None:
    assert SystemClock().now().wall.utcoffset() == timedelta(0)
    assert SystemClock().now().wall - datetime.now(UTC) < timedelta(seconds=10)


async def test_unknown_is_said_while_all_that_a_mode_waits_for_hangs_for_longer_than_it_may() -> None:
    """Neither source answers or fails, so no reading arrives at all: unknown is raised, and repeated as a reminder."""
    wallet, nav = ScriptedBalances("wallet", timeout=600, main=110), ScriptedEquity(timeout=600)
    manager = ReserveManager(nav, {"wallet": wallet})
    keys = {"reserve_max_staleness": "2", "reserve_event_repeat_interval": "0.3"}
    manager.set_reserve_config("m", {**BASE, **keys})
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.status("m") is ReserveStatus.ADEQUATE)
    wallet.misbehave = nav.misbehave = hangs
    await until(lambda: len(heard) >= 3)
    manager.stop_monitoring()
    await running
    assert {str(event.event_type) for event in heard} == {"reserve_unknown"}
    assert [event.reminder for event in heard[:3]] == [False, True, True]
