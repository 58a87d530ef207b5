"""A manager that takes over the state of its predecessor, as after a reload: nothing is lost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import EventType, ReserveEvent
from support.hand_clock import HandClock
from support.sources import Config, EquityByMode, ScriptedBalances, ScriptedEquity, raises, returns

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_max_staleness": 120}


class Reloads:
    """One mode whose managers succeed each other, as in a daemon that is reloaded."""

    def __init__(self, **keys: Any) -> None:
        self.clock = HandClock()
        self.source = ScriptedBalances("treasury", main=110, other=110)
        self.equity = ScriptedEquity()
        self.events: list[ReserveEvent] = []
        self.keys = {**BASE, "reserve_balance_sources": ["treasury/main"], **keys}
        self.manager = self._make()
        self.manager.begin()

    def _make(self) -> ReserveManager:
        manager = ReserveManager(self.equity, {"treasury": self.source}, clock=self.clock)
        manager.set_reserve_config("m", self.keys)
        manager.add_reserve_callback(self.events.append)
        return manager

    async def reload(self, **keys: Any) -> None:
        """Create a new manager, with other keys."""
        self.keys |= keys
        before = self.manager
        kept = before.kept_states()
        await before.close()
        self.manager = self._make()
        self.manager.restore(kept)
        self.manager.go_on(before.memories())
        self.manager.begin()

    def take_other_sources(self, timeout: float = 5.0) -> None:
        """Create new sources for the next reload, as a changed configuration does."""
        self.source = ScriptedBalances("treasury", timeout, main=110, other=110)
        self.equity = ScriptedEquity(timeout=timeout)

    async def check(self) -> ReserveStatus:
        await self.manager.check_all_reserves()
        return self.manager.status("m")


async def test_mode_is_unknown_in_time_though_the_configuration_is_read_again_and_again() -> None:
    world = Reloads()
    assert await world.check() is ReserveStatus.ADEQUATE
    world.source.misbehave = raises(RuntimeError("no"))
    for _ in range(4):
        world.clock.advance(29)
        await world.reload()
        assert await world.check() is ReserveStatus.ADEQUATE
    world.clock.advance(10)
    await world.reload()
    assert await world.check() is ReserveStatus.UNKNOWN
    await world.manager.close()
    assert [event.event_type for event in world.events] == [EventType.UNKNOWN]


async def test_row_of_worse_checks_goes_on_over_a_reload() -> None:
    world = Reloads(reserve_confirmations=3)
    await world.check()
    world.source.amounts["main"] = 80
    for status in (ReserveStatus.ADEQUATE, ReserveStatus.ADEQUATE, ReserveStatus.LOW):
        await world.reload()
        assert await world.check() is status
    await world.manager.close()


async def test_second_look_that_agrees_is_enough_when_the_first_was_before_the_reload() -> None:
    world = Reloads()
    await world.check()
    world.source.script = [{"main": 10}, {"main": 11}]
    world.source.amounts["main"] = 11
    await world.manager.check_all_reserves()
    await world.reload()
    assert await world.check() is ReserveStatus.CRITICAL
    await world.manager.close()


async def test_event_is_decided_again_when_it_did_not_get_into_the_store() -> None:
    world = Reloads()
    await world.check()
    before = world.manager.kept_states()
    world.source.amounts["main"] = 80
    assert await world.check() is ReserveStatus.LOW
    memories = world.manager.memories()
    await world.manager.close()
    world.manager = world._make()
    world.manager.restore(before)
    world.manager.go_on(memories)
    world.manager.begin()
    await world.check()
    await world.manager.close()
    assert [event.event_type for event in world.events] == [EventType.LOW, EventType.LOW]


async def test_sources_are_asked_first_when_a_mode_is_of_other_money_after_the_reload() -> None:
    world = Reloads()
    await world.check()
    world.source.misbehave = world.equity.misbehave = raises(RuntimeError("no"))
    world.clock.advance(119)
    await world.reload(reserve_balance_sources=["treasury/other"])
    assert await world.check() is ReserveStatus.ADEQUATE
    world.clock.advance(59)
    assert await world.check() is ReserveStatus.ADEQUATE
    world.clock.advance(2)
    assert await world.check() is ReserveStatus.UNKNOWN
    await world.manager.close()


async def test_what_flowed_out_is_remembered_over_reloads_unless_it_is_measured_otherwise() -> None:
    world = Reloads(reserve_runway_window=3600, reserve_max_staleness=600)
    for amount in range(200, 140, -5):
        world.source.amounts["main"] = amount
        await world.check()
        world.clock.advance(300)
        await world.reload()
    await world.check()
    assert world.manager.runway("m") is not None
    await world.reload(reserve_runway_window=7200)
    await world.check()
    assert world.manager.runway("m") is None
    await world.manager.close()


LEAVE_ALONE = raises(SourceError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=3600))


async def test_source_that_asked_to_be_left_alone_is_not_asked_however_often_the_configuration_is_read_again() -> None:
    world = Reloads()
    await world.check()
    world.source.misbehave = world.equity.misbehave = LEAVE_ALONE
    await world.check()
    for _ in range(3):
        world.take_other_sources()
        await world.reload()
        assert await world.check() is ReserveStatus.ADEQUATE
        assert (world.source.reads, world.equity.asked) == (0, [])
    latest = world.manager.latest_snapshot("m")
    assert latest is not None
    assert latest.missing == ("treasury/main: rate_limited: HTTP 429", "equity_calculator: rate_limited: HTTP 429")
    await world.manager.close()


async def test_source_that_asked_to_be_left_alone_is_asked_at_once_when_its_options_are_others() -> None:
    """A rate-limited key may have been replaced."""
    world = Reloads()
    await world.check()
    world.source.misbehave = LEAVE_ALONE
    await world.check()
    world.take_other_sources(timeout=4.0)
    await world.reload()
    await world.check()
    assert (world.source.reads, len(world.equity.asked)) == (1, 1)
    await world.manager.close()


async def test_source_whose_options_cannot_be_compared_begins_anew() -> None:
    class Odd(Config):
        __hash__ = None

        def __eq__(self, other: object) -> bool:
            raise ValueError("neither equal nor not")

    world = Reloads()
    world.source.misbehave = LEAVE_ALONE
    await world.check()
    world.take_other_sources()
    world.source.config = Odd()
    await world.reload()
    await world.check()
    assert world.source.reads == 1
    await world.manager.close()


async def test_source_is_well_after_a_reload_that_takes_out_the_mode_whose_equity_it_did_not_tell() -> None:
    class Seen(Observer):
        up: bool | None = None

        def source_is(self, source: str, *, up: bool) -> None:
            if source == "nav":
                self.up = up

    seen, source = Seen(), ScriptedBalances("treasury", main=110)
    nav = EquityByMode(a=raises(ValueError()), b=1000)

    def make(*modes: str) -> ReserveManager:
        manager = ReserveManager({"nav": nav}, {"treasury": source}, observers=[seen])
        for mode in modes:
            manager.set_reserve_config(mode, BASE)
        return manager

    before = make("a", "b")
    await before.check_all_reserves()
    await before.close()
    assert seen.up is False
    manager = make("b")
    manager.go_on(before.memories())
    await manager.check_all_reserves()
    await manager.close()
    assert seen.up is True


async def test_incident_is_not_over_when_a_node_that_lags_answers_first_after_a_reload() -> None:
    begin = datetime.now(UTC) - timedelta(seconds=30)

    def tell(world: Reloads, amount: int, equity: int, seconds: int) -> None:
        at = begin + timedelta(seconds=seconds)
        world.source.misbehave = returns(Reading([Balance("main", "USDT", Decimal(amount), at)]))
        world.equity.misbehave = returns(Equity(Decimal(equity), "USDT", at))

    world = Reloads()
    for told in ((110, 800, 0), (90, 1000, 12)):
        tell(world, *told)
        await world.check()
    await world.reload()
    tell(world, 110, 800, 0)
    assert await world.check() is ReserveStatus.LOW
    await world.manager.close()
    assert [event.event_type for event in world.events] == [EventType.LOW]
