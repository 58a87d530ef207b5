"""Modes are checked as soon as a source reports a change, and at intervals all the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd import ReserveEvent, ReserveManager
from reservd.monitor.observer import Checked, Observer
from reservd.plugin import Balance, Reading
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, hangs, raises
from support.telling import TellingBalances

HOUR = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": 3600, "reserve_max_jump": 10}


class Watcher(Observer):
    """Counts checks and wake-ups."""

    def __init__(self) -> None:
        self.checks: Counter[str] = Counter()
        self.wakeups: Counter[str] = Counter()

    def checked(self, checked: Checked) -> None:
        self.checks[checked.mode] += 1

    def woken(self, source: str) -> None:
        self.wakeups[source] += 1


@asynccontextmanager
async def monitoring(manager: ReserveManager) -> AsyncIterator[None]:
    """Run the manager, once its first cycle is done."""
    running = asyncio.create_task(manager.start_monitoring())
    try:
        await until(lambda: manager.ready)
        yield
    finally:
        manager.stop_monitoring()
        await running


def make(*sources: ScriptedBalances, nav: ScriptedEquity | None = None, **modes: Any) -> tuple[ReserveManager, Watcher]:
    """Return a manager of modes with the named sources."""
    watcher = Watcher()
    manager = ReserveManager(nav or ScriptedEquity(), {source.name: source for source in sources}, observers=[watcher])
    for mode, names in modes.items():
        manager.set_reserve_config(mode, {**HOUR, "reserve_balance_sources": names})
    return manager, watcher


async def test_mode_is_checked_at_once_when_its_source_tells_of_a_change() -> None:
    source = TellingBalances("a", main=110)
    manager, watcher = make(source, m=["a"])
    events: list[ReserveEvent] = []
    manager.add_reserve_callback(events.append)
    async with monitoring(manager):
        source.amounts["main"] = 90
        source.tell()
        await until(lambda: bool(events))
    assert [str(event.event_type) for event in events] == ["reserve_low"]
    assert watcher.wakeups == {"a": 1}


async def test_only_the_modes_that_a_change_is_news_for_are_checked_and_their_equity_read() -> None:
    class ByMode(ScriptedEquity):
        by_share_class = False

    source, other, nav = TellingBalances("a", one=110, two=110), ScriptedBalances("b", main=110), ByMode()
    manager, watcher = make(source, other, nav=nav, one=["a/one"], two=["a/two"], three=["b"])
    async with monitoring(manager):
        asked = len(nav.asked)
        source.amounts["two"] = 111
        source.tell()
        await until(lambda: watcher.checks["two"] == 2)
    assert watcher.checks == {"one": 1, "two": 2, "three": 1}
    assert nav.asked[asked:] == ["two"]
    assert other.reads == 1


async def test_nothing_is_checked_when_a_source_told_of_a_change_and_nothing_changed() -> None:
    source, nav = TellingBalances("a", main=110), ScriptedEquity()
    manager, watcher = make(source, nav=nav, m=["a"])
    async with monitoring(manager):
        for _ in range(3):
            reads = source.reads
            source.tell()
            await until(lambda reads=reads: source.reads == reads + 1)
    assert nav.asked == ["USDT"]
    assert watcher.checks == {"m": 1}


async def test_source_is_read_a_few_times_when_it_tells_of_many_changes() -> None:
    source = TellingBalances("a", main=110)
    manager, watcher = make(source, m=["a"])
    async with monitoring(manager):
        for _ in range(40):
            source.tell()
        await until(lambda: watcher.wakeups["a"] == 40)
        source.amounts["main"] = 120
        source.tell()
        await until(lambda: watcher.checks["m"] == 2)
    assert source.reads < 10


class Slow(ScriptedBalances):
    """Answers when the test says so."""

    def __init__(self, name: str, **amounts: Any) -> None:
        super().__init__(name, timeout=60, **amounts)
        self.answered = asyncio.Event()

    async def fetch_balances(self) -> Any:
        await self.answered.wait()
        return await super().fetch_balances()


def balance(manager: ReserveManager) -> Decimal | None:
    """Return the balance of mode `m`."""
    snapshot = manager.latest_snapshot("m")
    return snapshot.reserve_balance if snapshot is not None else None


class Metered(TellingBalances):
    """Counts its requests, and therefore sets a minimum time between wake-ups."""

    patience = 3600.0

    @property
    def seconds_between_changes(self) -> float:
        if not self.patience:
            raise ValueError("no patience")
        return self.patience


async def test_source_is_read_once_within_the_time_that_it_asks_for_however_often_it_tells() -> None:
    """Another source without such a time is read for every change meanwhile."""
    metered, other = Metered("a", main=110), TellingBalances("b", main=110)
    manager, watcher = make(metered, other, m=["a"], n=["b"])
    async with monitoring(manager):
        metered.tell()
        await until(lambda: metered.reads == 2)
        for _ in range(3):
            reads, heard = other.reads, watcher.wakeups["a"]
            metered.tell()
            other.tell()
            await until(lambda reads=reads, heard=heard: other.reads > reads and watcher.wakeups["a"] > heard)
    assert metered.reads == 2


async def test_change_is_seen_after_the_time_that_the_source_asks_for() -> None:
    source = Metered("a", main=110)
    source.patience = 0.5
    manager, watcher = make(source, m=["a"])
    async with monitoring(manager):
        source.tell()
        await until(lambda: source.reads == 2)
        source.amounts["main"] = 111
        source.tell()
        await until(lambda: watcher.checks["m"] == 2)
    assert source.reads == 3


async def test_source_is_followed_as_any_other_when_it_breaks_on_how_long_to_wait() -> None:
    source = Metered("a", main=110)
    source.patience = 0
    manager, watcher = make(source, m=["a"])
    with capture_logs() as logs:
        async with monitoring(manager):
            source.amounts["main"] = 111
            source.tell()
            await until(lambda: watcher.checks["m"] == 2)
    assert "plugin.broke" in [log["event"] for log in logs]


async def test_change_is_not_lost_when_it_comes_while_a_cycle_has_yet_to_check_its_mode() -> None:
    """The cycle read the source before the change, and is waiting for another source of the mode."""
    source, slow = TellingBalances("a", main=110), Slow("b", main=110)
    manager, watcher = make(source, slow, m=["a", "b"])
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: source.reads == 1 and source.listening)
    source.amounts["main"] = 111
    source.tell()
    await until(lambda: watcher.wakeups["a"] == 1)
    assert source.reads == 1
    slow.answered.set()
    await until(lambda: balance(manager) == 221)
    assert source.reads == 2
    manager.stop_monitoring()
    await running


async def test_change_is_seen_at_once_when_the_cycle_waits_for_sources_of_others() -> None:
    """A source that hangs delays its own modes only, and older readings of the cycle do not replace newer ones."""
    source, slow = TellingBalances("a", main=110), Slow("b", main=110)
    manager, watcher = make(source, slow, m=["a"], n=["b"])
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: watcher.checks == {"m": 1} and source.listening)
    for there in (111, 90, 110):
        source.amounts["main"] = there
        source.tell()
        await until(lambda there=there: balance(manager) == there)
    assert watcher.checks == {"m": 4}
    slow.answered.set()
    await until(lambda: manager.ready)
    assert (balance(manager), watcher.checks) == (110, {"m": 4, "n": 1})
    manager.stop_monitoring()
    await running


async def test_next_cycle_sees_the_recovery_when_an_amount_fell_and_came_back_between_two_cycles() -> None:
    """Both cycles read the same amount; the different one that a wake-up read in between must not remain."""
    source = TellingBalances("a", main=110)
    manager, _ = make(source)
    manager.set_reserve_config("m", {**HOUR, "reserve_monitoring_interval": "1.5"})
    async with monitoring(manager):
        source.amounts["main"] = 90
        source.tell()
        await until(lambda: manager.status("m") == "low")
        source.amounts["main"] = 110
        await until(lambda: manager.status("m") == "adequate")


async def test_older_reading_does_not_come_after_a_newer_one_when_a_cycle_overtakes_a_wake_up() -> None:
    """The reading of the wake-up waits for a slow equity, while a cycle that began later has read a newer one."""
    source, nav = TellingBalances("a", main=110), ScriptedEquity(timeout=60)
    manager, watcher = make(source, nav=nav, m=["a"])
    events: list[ReserveEvent] = []
    manager.add_reserve_callback(events.append)
    async with monitoring(manager):
        answered = asyncio.Event()
        equity = await ScriptedEquity().fetch_equity("USDT", "USDT")

        async def slowly() -> Any:
            await answered.wait()
            return equity

        nav.misbehave = slowly
        source.amounts["main"] = 90
        source.tell()
        await until(lambda: source.reads == 2)
        source.amounts["main"] = 111
        cycle = asyncio.create_task(manager._cycles.run(3600.0))
        await until(lambda: source.reads == 3)
        answered.set()
        await cycle
        await until(lambda: watcher.checks["m"] == 2)
        latest = manager.latest_snapshot("m")
        assert latest is not None
        assert latest.reserve_balance == 111
    assert not events


async def test_jump_is_confirmed_by_the_next_observation_that_a_source_tells_of() -> None:
    """As with the next block: the amount is the same as in the last one, which confirms it."""
    source, block = TellingBalances("a", main=110), 7
    manager, watcher = make(source)
    manager.set_reserve_config("m", {**HOUR, "reserve_max_jump": "0.5"})
    events: list[ReserveEvent] = []
    manager.add_reserve_callback(events.append)

    async def at_block() -> Reading:
        return Reading([Balance("main", "USDT", Decimal(source.amounts["main"]), datetime.now(UTC), block=block)])

    source.misbehave = at_block
    async with monitoring(manager):
        source.amounts["main"] = 0
        source.tell()
        await until(lambda: watcher.checks["m"] == 3)
        assert (source.reads, events) == (3, []), "read again at once, but at the same block"
        block = 8
        source.tell()
        await until(lambda: bool(events))
    assert [str(event.event_type) for event in events] == ["reserve_critical"]
    assert source.reads == 4


async def test_jump_has_a_second_reading_when_a_wake_up_found_it() -> None:
    source = TellingBalances("a", main=110)
    manager, _ = make(source)
    manager.set_reserve_config("m", {**HOUR, "reserve_max_jump": "0.5"})
    async with monitoring(manager):
        source.script = [{"main": 0}, {"main": 110}]
        source.tell()
        await until(lambda: source.reads == 3)
        assert manager.status("m") == "adequate"
        source.script = [{"main": 0}, {"main": 0}]
        source.tell()
        await until(lambda: manager.status("m") == "critical")


async def test_nothing_is_learned_when_the_source_fails_on_a_wake_up() -> None:
    source = TellingBalances("a", main=110)
    manager, watcher = make(source, m=["a"])
    async with monitoring(manager):
        source.misbehave = raises(OSError())
        source.tell()
        await until(lambda: source.reads == 2)
        source.tell()
        await until(lambda: watcher.wakeups["a"] == 2)
    assert source.reads == 2  # the cycles read the rest
    assert watcher.checks == {"m": 1}


@pytest.mark.parametrize("error", [None, OSError("away"), SystemExit(3)])
async def test_another_stream_is_started_when_one_ends_or_breaks(
    error: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both the end and the recovery are logged once."""
    monkeypatch.setattr("reservd.monitor.sources.changes._FIRST_PAUSE_SECONDS", 0.01)
    source = TellingBalances("a", main=110)
    source.break_with = error
    manager, watcher = make(source, m=["a"])
    with capture_logs() as logs:
        async with monitoring(manager):
            for streams in (1, 2, 3):
                await until(lambda streams=streams: source.streams == streams and source.listening)
                source.end()
            await until(lambda: source.streams == 4)
            source.tell()
            await until(lambda: watcher.wakeups["a"] == 1)
    told = [log["event"] for log in logs if log["event"].startswith("changes.")]
    assert told == ["changes.lost", "changes.followed"]


async def test_stream_is_closed_when_monitoring_stops() -> None:
    source = TellingBalances("a", main=110)
    manager, _ = make(source, m=["a"])
    async with monitoring(manager):
        await until(lambda: source.listening)
    assert not source.listening
    assert source.closed == 1


async def test_monitoring_stops_when_a_stream_does_not_let_itself_be_closed() -> None:
    source = TellingBalances("a", main=110)
    source.closing = asyncio.Event()
    manager, _ = make(source, m=["a"])
    async with monitoring(manager):
        await until(lambda: source.listening)
    assert not manager.running
    source.closing.set()
    await until(lambda: source.closed == 1)


async def test_source_is_left_alone_when_it_is_configured_to_tell_nothing() -> None:
    class Silent(ScriptedBalances):
        asked = 0

        def changes(self) -> None:
            self.asked += 1

    source = Silent("a", main=110)
    manager, _ = make(source, m=["a"])
    with capture_logs() as logs:
        async with monitoring(manager):
            await until(lambda: source.asked == 1)
    assert source.asked == 1
    assert not [log for log in logs if log["event"].startswith("changes.")]


async def test_cycles_go_on_when_a_stream_never_waits() -> None:
    class Flood(ScriptedBalances):
        async def changes(self) -> AsyncIterator[None]:  # type: ignore[override]
            while True:
                yield

    source = Flood("a", main=110)
    manager, watcher = make(source)
    manager.set_reserve_config("m", {**HOUR, "reserve_monitoring_interval": 1})
    async with monitoring(manager):
        await until(lambda: watcher.wakeups["a"] > 20)
        await until(lambda: source.reads >= 3)


async def test_other_sources_are_followed_when_one_cannot_be_opened() -> None:
    source, broken = TellingBalances("a", main=110), TellingBalances("b", timeout=0.05, main=110)
    broken.__class__ = type("Stuck", (TellingBalances,), {"__aenter__": lambda _: hangs()})
    manager, watcher = make(source, broken, m=["a"], n=["b"])
    async with monitoring(manager):
        source.tell()
        await until(lambda: watcher.wakeups["a"] == 1)
    assert broken.streams == 0
