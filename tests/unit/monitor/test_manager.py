"""The ReserveManager, as programs embed it."""

import asyncio
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd import BaseStrategyManager, ReserveManager, ReserveStatus, WithdrawalManager
from reservd.errors import ConfigError, FailureReason, ReserveUnknownError
from reservd.monitor.cycles.schedule import CycleSchedule
from reservd.monitor.observer import Checked, Observer
from reservd.plugin import Equity
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment import Inaction
from reservd.service.replenishment import ReplenishmentService
from support.polling import until
from support.sources import (
    Behaviour,
    EquityByMode,
    ScriptedBalances,
    ScriptedEquity,
    ScriptedReplenisher,
    hangs,
    raises,
)

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": "0.05"}


class Seen(Observer):
    """Records what it is notified of."""

    def __init__(self) -> None:
        self.checks: list[Checked] = []
        self.refreshes: list[str] = []
        self.failures: list[FailureReason | None] = []
        self.cycles = 0
        self.overruns = 0

    def checked(self, checked: Checked) -> None:
        self.checks.append(checked)

    def refreshed(self, modes: Any, now: Any) -> None:
        self.refreshes += modes

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        self.failures.append(failure)

    def cycle_finished(self, interval: float, seconds: float) -> None:
        self.cycles += 1

    def cycle_overran(self, interval: float) -> None:
        self.overruns += 1


async def test_each_source_is_read_once_when_many_modes_share_it() -> None:
    accounts = {f"a{number}": 100 for number in range(20)}
    source, nav = ScriptedBalances("treasury", **accounts), ScriptedEquity()
    manager = ReserveManager(nav, {"treasury": source})
    for account in accounts:
        manager.set_reserve_config(f"mode_{account}", {**BASE, "reserve_balance_sources": [f"treasury/{account}"]})
    found = await manager.check_all_reserves()
    assert source.reads == 1
    assert nav.asked == ["USDT"]
    assert {snapshot.status for snapshot in found.values()} == {ReserveStatus.ADEQUATE}


async def test_equity_is_asked_by_mode_when_the_source_does_not_answer_by_share_class() -> None:
    class ByMode(ScriptedEquity):
        by_share_class = False

    nav = ByMode()
    manager = ReserveManager({"nav": nav}, {"a": ScriptedBalances("a", main=100), "b": ScriptedBalances("b", main=100)})
    for name in ("a", "b"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name], "reserve_equity_source": "nav"})
    await manager.check_all_reserves()
    assert sorted(nav.asked) == ["a", "b"]


async def test_second_look_is_taken_at_once_when_a_reading_jumps() -> None:
    """A wallet reads 0 once: it is read again in the same cycle, and no event is raised."""
    source = ScriptedBalances("treasury", main=120)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    manager.set_reserve_config("m", BASE)
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    await manager.check_all_reserves()
    source.script = [{"main": 0}, {"main": 120}]
    await manager.check_all_reserves()
    assert source.reads == 3
    source.script = [{"main": 0}, {"main": 0}]
    await manager.check_all_reserves()
    assert source.reads == 5
    await manager.close()
    assert [str(event.event_type) for event in heard] == ["reserve_critical"]


async def test_a_flapping_source_is_asked_twice_a_cycle_at_most() -> None:
    source = ScriptedBalances("treasury", main=120)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    manager.set_reserve_config("m", BASE)
    await manager.check_all_reserves()
    source.script = [{"main": 0}, {"main": 50}, {"main": 3}]
    await manager.check_all_reserves()
    assert source.reads == 3
    assert manager.status("m") is ReserveStatus.ADEQUATE


async def test_all_second_looks_of_a_cycle_share_one_reading_when_everything_jumps_at_once() -> None:
    """Each mode has an equity of its own, and they arrive one after another."""
    modes = [f"m{number}" for number in range(50)]
    source = ScriptedBalances("treasury", **dict.fromkeys(modes, 120))
    nav = EquityByMode(**dict.fromkeys(modes, 1000))
    manager = ReserveManager(nav, {"treasury": source})
    for mode in modes:
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"treasury/{mode}"]})
    await manager.check_all_reserves()

    def later(number: int) -> Behaviour:
        async def tell() -> Equity:
            for _ in range(5 * number):
                await asyncio.sleep(0)
            return Equity(Decimal(1000), "USDT", datetime.now(UTC))

        return tell

    nav.amounts = {mode: later(number) for number, mode in enumerate(modes)}
    nav.asked.clear()
    source.amounts = dict.fromkeys(modes, 0)
    await manager.check_all_reserves()
    assert source.reads == 1 + 2
    assert sorted(nav.asked) == sorted([*modes, *modes])
    assert {manager.status(mode) for mode in modes} == {ReserveStatus.CRITICAL}
    await manager.close()


async def test_second_look_does_not_wait_for_a_source_that_hangs() -> None:
    """A source that hangs for another mode delays no alarm."""
    slow, fast = ScriptedBalances("slow", timeout=60, main=120), ScriptedBalances("fast", main=120)
    manager = ReserveManager(ScriptedEquity(), {"slow": slow, "fast": fast})
    for name in ("slow", "fast"):
        manager.set_reserve_config(name, {**BASE, "reserve_balance_sources": [name]})
    await manager.check_all_reserves()
    slow.misbehave = hangs
    fast.amounts["main"] = 0
    checking = asyncio.create_task(manager.check_all_reserves())
    await until(lambda: manager.status("fast") is ReserveStatus.CRITICAL)
    assert not checking.done()
    checking.cancel()
    await asyncio.gather(checking, return_exceptions=True)
    await manager.close()


async def test_unchanged_modes_are_refreshed_only_when_nothing_is_new() -> None:
    seen = Seen()
    source = ScriptedBalances("treasury", main=120)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source}, observers=[seen])
    manager.set_reserve_config("m", BASE)
    await manager.check_all_reserves()
    first = manager.latest_snapshot("m")
    await manager.check_all_reserves()
    second = manager.latest_snapshot("m")
    assert (len(seen.checks), seen.refreshes) == (1, ["m"])
    assert first is not None
    assert second is not None
    assert second.timestamp > first.timestamp
    assert second.observed_at is not None
    assert first.observed_at is not None
    assert second.observed_at > first.observed_at
    assert second.equity_seen is not None
    assert second.observed_at == min(second.equity_seen, *second.seen).observed_at
    as_before = {name: getattr(first, name) for name in ("timestamp", "observed_at", "equity_seen", "seen")}
    assert second._replace(**as_before) == first
    source.amounts["main"] = 121
    await manager.check_all_reserves()
    assert len(seen.checks) == 2


async def test_low_mode_is_checked_in_full_so_that_reminders_come_when_nothing_changes() -> None:
    source = ScriptedBalances("treasury", main=70)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    manager.set_reserve_config("m", {**BASE, "reserve_event_repeat_interval": "0.01"})
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: len(heard) >= 3)
    manager.stop_monitoring()
    await running
    assert [event.reminder for event in heard[:3]] == [False, True, True]
    assert len({event.incident_id for event in heard}) == 1
    assert [event.sequence for event in heard[:3]] == [1, 2, 3]


async def test_status_becomes_unknown_when_a_source_stays_silent_too_long() -> None:
    source = ScriptedBalances("treasury", main=120)
    manager = ReserveManager(ScriptedEquity(), {"treasury": source})
    # Longer than a busy machine keeps the loop from running, or it would be unknown once more.
    manager.set_reserve_config("m", {**BASE, "reserve_max_staleness": "2"})
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.ready)
    source.misbehave = raises(OSError("gone"))
    await until(lambda: len(heard) == 1)
    assert manager.status("m") is ReserveStatus.UNKNOWN
    with pytest.raises(ReserveUnknownError, match="internal"):
        await manager.get_reserve_balance("m")
    source.misbehave = None
    await until(lambda: len(heard) == 2)
    manager.stop_monitoring()
    await running
    assert [str(event.event_type) for event in heard] == ["reserve_unknown", "reserve_adequate"]
    assert "internal" in heard[0].reason


async def test_one_job_runs_for_each_interval_when_modes_differ() -> None:
    seen = Seen()
    often, seldom = ScriptedBalances("often", main=100), ScriptedBalances("seldom", main=100)
    manager = ReserveManager(ScriptedEquity(), {"often": often, "seldom": seldom}, observers=[seen])
    manager.set_reserve_config("often", {**BASE, "reserve_balance_sources": ["often"]})
    slower = {**BASE, "reserve_balance_sources": ["seldom"], "reserve_monitoring_interval": 30}
    manager.set_reserve_config("seldom", slower)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: seen.cycles >= 4)
    assert seldom.reads == 1
    manager.stop_monitoring()
    await running
    assert (often.closed, seldom.closed) == (1, 1)


async def test_cycle_is_skipped_and_counted_when_the_one_before_still_runs() -> None:
    overruns: list[float] = []
    go_on = asyncio.Event()

    async def run(interval: float) -> None:
        await go_on.wait()

    schedule = CycleSchedule(run, overruns.append)
    schedule.start([0.05])
    await until(lambda: len(overruns) >= 2)
    assert set(overruns) == {0.05}
    go_on.set()
    await schedule.stop()


async def test_mode_is_watched_at_once_when_configured_while_running() -> None:
    source = ScriptedBalances("t", a=100, b=10)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("a", {**BASE, "reserve_balance_sources": ["t/a"]})
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.ready)
    with pytest.raises(RuntimeError, match="already"):
        await manager.start_monitoring()
    config = {**BASE, "reserve_balance_sources": ["t/b"], "reserve_monitoring_interval": "0.07"}
    manager.set_reserve_config("b", config)
    await until(lambda: manager.status("b") is ReserveStatus.CRITICAL)
    manager.stop_monitoring()
    await running


def test_mode_may_be_configured_again() -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", a=1, b=1)})
    manager.set_reserve_config("one", {**BASE, "reserve_balance_sources": ["t/a"]})
    manager.set_reserve_config("one", {**BASE, "reserve_balance_sources": ["t/b"]})
    assert manager.reserve_configs["one"].reserve_balance_sources == ("t/b",)


async def test_incident_and_sequence_go_on_when_a_mode_is_configured_with_another_account() -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", a=60, b=70)})
    events: list[ReserveEvent] = []
    manager.add_reserve_callback(events.append)
    manager.set_reserve_config("m", {**BASE, "reserve_balance_sources": ["t/a"]})
    await manager.check_all_reserves()
    manager.set_reserve_config("m", {**BASE, "reserve_balance_sources": ["t/a", "t/b"]})
    assert manager.status("m") is ReserveStatus.LOW
    await manager.check_all_reserves()
    await manager.close()
    low, adequate = events
    assert (low.event_type, adequate.event_type) == ("reserve_low", "reserve_adequate")
    assert (adequate.incident_id, adequate.sequence) == (low.incident_id, low.sequence + 1)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"share_class": "USDT"}, "m: reserve_ratio: is required"),
        ({**BASE, "reserve_ration": 1}, "m: reserve_ration: unknown key; did you mean reserve_ratio?"),
        (
            {**BASE, "reserve_balance_sources": ["t", "x"]},
            "m: reserve_balance_sources[1]: must name a balance source, got 'x'",
        ),
        (
            {**BASE, "reserve_balance_sources": ["t"], "reserve_equity_source": "x"},
            "m: reserve_equity_source: must name one of equity_calculator, got 'x'",
        ),
        (BASE, "m: reserve_balance_sources: must name one of t, u"),
    ],
)
def test_configuration_is_refused_when_it_cannot_be_used(config: dict[str, Any], message: str) -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", a=1), "u": ScriptedBalances("u", a=1)})
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        manager.set_reserve_config("m", config)


def test_configuration_is_refused_when_the_manager_has_no_source() -> None:
    message = "m: reserve_balance_sources: must name a source, but the manager has none"
    with pytest.raises(ConfigError, match=f"^{message}$"):
        ReserveManager(ScriptedEquity(), {}).set_reserve_config("m", BASE)


def test_objects_are_refused_when_they_are_no_sources() -> None:
    with pytest.raises(TypeError, match="get_balances"):
        ReserveManager(ScriptedEquity(), {"x": object()})
    with pytest.raises(TypeError, match="calculate_equity"):
        ReserveManager(object(), {})


async def test_venue_object_costs_the_asset_when_a_number_is_rubbish() -> None:
    class Venue:
        def get_balances(self) -> dict[str, Any]:
            return {"USDT": "NaN", "ETH": 1}

    class Calculator:
        def calculate_equity(self, share_class: str) -> Any:
            return type("Answer", (), {"total_equity": 1000.5})()

    manager = ReserveManager(Calculator(), {"v": Venue()})
    manager.set_reserve_config("m", BASE)
    snapshot = await manager.calculate_reserve_snapshot("m")
    assert snapshot.status is ReserveStatus.UNKNOWN
    assert snapshot.total_equity == Decimal("1000.5")
    assert "must be a finite number" in snapshot.missing[0]


async def test_venue_object_is_unknown_when_it_answers_no_mapping_or_no_equity() -> None:
    class Venue:
        async def get_balances(self) -> Any:
            return [1]

    class Calculator:
        async def calculate_equity(self, share_class: str) -> Any:
            return None

    manager = ReserveManager(Calculator(), {"v": Venue()})
    manager.set_reserve_config("m", BASE)
    snapshot = await manager.calculate_reserve_snapshot("m", BASE)
    assert snapshot.status is ReserveStatus.UNKNOWN
    assert len(snapshot.missing) == 2
    assert "calculate_equity() must return an object with total_equity, returned NoneType" in " ".join(snapshot.missing)


async def test_alias_counts_as_reserve_when_a_venue_does_not_tell_beforehand_what_it_holds() -> None:
    """The venues are objects without declared assets: an alias that one of them does not report counts as missing."""

    class Venue:
        balances: dict[str, Any] = {"USDT": 30, "USDT.e": 30, "ETH": 1000}  # noqa: RUF012  # the test's own

        async def get_balances(self) -> dict[str, Any]:
            return self.balances

    venue = Venue()
    manager = ReserveManager(ScriptedEquity(), {"wallet": venue})
    manager.set_reserve_config("m", {**BASE, "reserve_asset_aliases": {"USDT.e": "USDT"}})
    assert await manager.get_reserve_balance("m") == 60
    venue.balances = {"USDT": 30}
    with pytest.raises(ReserveUnknownError, match=r"wallet/main: USDT\.e is missing"):
        await manager.get_reserve_balance("m")
    await manager.close()


async def test_nothing_is_asked_for_when_nobody_takes_refills() -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=1)})
    manager.set_reserve_config("m", BASE)
    outcome = await manager.request_reserve_replenishment("m", Decimal(5))
    assert not outcome
    assert outcome.reason == Inaction.NO_REPLENISHER
    with pytest.raises(ConfigError, match="not configured"):
        await manager.calculate_reserve_snapshot("other")


async def test_withdrawals_are_as_slow_as_the_worse_status_when_raw_and_confirmed_differ() -> None:
    source = ScriptedBalances("t", main=100)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    manager.set_reserve_config("m", {**BASE, "reserve_confirmations": 3})
    withdrawals = WithdrawalManager(manager)
    assert await withdrawals.get_withdrawal_speed("m") == "slow"
    await manager.check_all_reserves()
    assert await withdrawals.get_withdrawal_speed("m") == "fast"
    source.amounts["main"] = 70
    await manager.check_all_reserves()
    assert manager.status("m") is ReserveStatus.ADEQUATE
    assert await withdrawals.get_withdrawal_speed("m") == "medium"
    assert await withdrawals.get_withdrawal_speed("no such mode") == "slow"


async def test_snapshot_can_be_processed_by_hand_when_a_caller_made_it() -> None:
    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=10)})
    manager.set_reserve_config("m", BASE)
    heard: list[ReserveEvent] = []
    manager.add_reserve_callback(heard.append)
    await manager.process_reserve_snapshot(await manager.calculate_reserve_snapshot("m"))
    await manager.close()
    assert [str(event.event_type) for event in heard] == ["reserve_critical"]


async def test_strategy_acts_once_for_each_incident_and_severity() -> None:
    executions: list[str] = []

    class Strategy(BaseStrategyManager):
        def request_fast_execution(self) -> None:
            executions.append("fast")

        def request_emergency_execution(self) -> None:
            executions.append("emergency")

    source = ScriptedBalances("t", main=100)
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    config = {**BASE, "mode": "m", "asset": "USDT", "reserve_event_repeat_interval": "0.001"}
    strategy = Strategy(config, None, None, None, manager)
    for amount in (110, 70, 70, 30, 70, 110, 70):
        source.amounts["main"] = amount
        await manager.check_all_reserves()
        await manager.close()  # once the strategy has received it
        await asyncio.sleep(0.002)  # a reminder is due
    assert await strategy.get_reserve_balance() == 70
    assert not await strategy.check_reserve_adequacy()
    assert not await strategy.request_reserve_replenishment(Decimal(1))
    await manager.close()
    assert executions == ["fast", "emergency", "fast"]


async def test_strategy_leaves_it_to_the_replenisher_when_its_mode_has_one() -> None:
    executions: list[str] = []

    class Strategy(BaseStrategyManager):
        def request_fast_execution(self) -> None:
            executions.append("fast")

    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=70)})
    Strategy({**BASE, "mode": "m", "asset": "X", "reserve_replenisher": "unwinder"}, None, None, None, manager)
    manager.replenishment = ReplenishmentService(manager.reserve_configs, {"unwinder": ScriptedReplenisher()})
    await manager.check_all_reserves()
    await manager.close()
    assert executions == []


async def test_strategy_acts_itself_when_nobody_takes_its_requests() -> None:
    """A replenisher is configured but the manager has no service, so the strategy must act."""
    executions: list[str] = []

    class Strategy(BaseStrategyManager):
        def request_fast_execution(self) -> None:
            executions.append("fast")

    manager = ReserveManager(ScriptedEquity(), {"t": ScriptedBalances("t", main=70)})
    Strategy({**BASE, "mode": "m", "asset": "X", "reserve_replenisher": "unwinder"}, None, None, None, manager)
    await manager.check_all_reserves()
    await manager.close()
    assert executions == ["fast"]
