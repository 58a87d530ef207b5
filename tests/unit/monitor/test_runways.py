"""The runway is reported while a reserve falls, and there is one warning."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from reservd import ReserveEvent, ReserveManager
from reservd.monitor.observer import Observer
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import EventType
from reservd.reserve.runway import Runway
from reservd.reserve.tracker import Instant
from support.sources import ScriptedBalances, ScriptedEquity

MODE = {
    "share_class": "USDT",
    "reserve_ratio": "0.1",
    "reserve_monitoring_interval": 300,
    "reserve_runway_warning": 7200,
}


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Instant:
        return Instant(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds), self.seconds)


class Told(Observer):
    """Records the reported runways."""

    def __init__(self) -> None:
        self.runways: list[Runway | None] = []

    def runway_is(self, mode: str, runway: Runway | None) -> None:
        self.runways.append(runway)


async def test_runway_is_told_and_warned_of_once_while_a_reserve_falls_and_ends_with_the_fall() -> None:
    clock, told = SetClock(), Told()
    source, nav = ScriptedBalances("a", main=200), ScriptedEquity()
    events: list[ReserveEvent] = []

    async def balances() -> Reading:
        return Reading([Balance("main", "USDT", Decimal(source.amounts["main"]), clock.now().wall)])

    async def equity() -> Equity:
        return Equity(Decimal(1000), "USDT", clock.now().wall)

    source.misbehave, nav.misbehave = balances, equity
    manager = ReserveManager(nav, {"a": source}, observers=[told], clock=clock)
    manager.set_reserve_config("m", MODE)
    manager.add_reserve_callback(events.append)
    manager.begin()
    for amount in (200, 195, 190, 185, 180, 170, 160, 150, 140):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
        clock.seconds += 300
    last = told.runways[-1]
    assert last is not None
    assert 0 < last.low_seconds < 7200
    assert manager.runway("m") == last
    for _ in range(20):
        await manager.check_all_reserves()
        clock.seconds += 300
        manager._runways.slide(manager._watches, clock.seconds)  # as a due cycle does
    assert told.runways[-1] is None
    assert manager.runway("m") is None
    await manager.close()
    assert [event.event_type for event in events] == [EventType.RUNWAY_LOW]
    assert events[0].incident_id is None
    assert manager.status("m") == "adequate"


async def test_warning_is_given_once_when_the_daemon_begins_anew_while_the_reserve_falls() -> None:
    """As after each reload: the outflow is unknown during the first quarter of its window."""
    clock = SetClock()
    source, nav = ScriptedBalances("a", main=200), ScriptedEquity()
    events: list[ReserveEvent] = []

    async def balances() -> Reading:
        return Reading([Balance("main", "USDT", Decimal(source.amounts["main"]), clock.now().wall)])

    async def equity() -> Equity:
        return Equity(Decimal(1000), "USDT", clock.now().wall)

    source.misbehave, nav.misbehave = balances, equity

    def begin(before: ReserveManager | None = None) -> ReserveManager:
        manager = ReserveManager(nav, {"a": source}, clock=clock)
        manager.set_reserve_config("m", MODE)
        manager.add_reserve_callback(events.append)
        manager.restore(before.kept_states() if before is not None else {})
        manager.begin()
        return manager

    async def fall(manager: ReserveManager, *amounts: int) -> None:
        for amount in amounts:
            source.amounts["main"] = amount
            await manager.check_all_reserves()
            clock.seconds += 300
        await manager.close()

    first = begin()
    await fall(first, 200, 195, 190, 185, 180, 170, 160, 150, 140)
    assert [event.event_type for event in events] == [EventType.RUNWAY_LOW]
    second = begin(first)
    await fall(second, 138, 136, 134, 132, 130, 128, 126)
    assert second.runway("m") is not None
    assert [event.event_type for event in events] == [EventType.RUNWAY_LOW]
    third = begin(second)
    await fall(third, *[126] * 5, 122, 118, 114, 110, 106)
    assert [event.event_type for event in events] == [EventType.RUNWAY_LOW] * 2, "no outflow for a while"
