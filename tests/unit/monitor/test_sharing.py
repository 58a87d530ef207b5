"""The ReserveManager with modes that count the same money."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import ConfigError
from reservd.monitor.observer import Checked, Observer
from reservd.monitor.watches.holds import Holds
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import Bounds, ReserveSnapshot
from support.polling import until
from support.sources import EquityByMode, ScriptedBalances, ScriptedEquity, WalletBalances, returns

BASE = {"share_class": "USDT", "reserve_ratio": "0.1"}


class Seen(Observer):
    """Records which modes were checked and which were skipped."""

    def __init__(self) -> None:
        self.checked_modes: list[str] = []
        self.refreshed_modes: list[str] = []

    def checked(self, checked: Checked) -> None:
        self.checked_modes.append(checked.mode)

    def refreshed(self, modes: Any, now: Any) -> None:
        self.refreshed_modes += modes


def make_manager(
    nav: ScriptedEquity, *sources: ScriptedBalances, observers: Sequence[Observer] = (), **modes: Any
) -> ReserveManager:
    """Return a manager of modes, each given by its balance sources or by its keys."""
    manager = ReserveManager(nav, {source.name: source for source in sources}, observers=observers)
    for mode, keys in modes.items():
        named = {"reserve_balance_sources": keys} if isinstance(keys, list) else keys
        manager.set_reserve_config(mode, {**BASE, **named})
    return manager


async def look(manager: ReserveManager) -> dict[str, ReserveSnapshot]:
    return dict(await manager.check_all_reserves())


def balances(found: dict[str, ReserveSnapshot]) -> dict[str, Decimal | None]:
    return {mode: snapshot.reserve_balance for mode, snapshot in found.items()}


async def test_three_modes_on_one_wallet_are_each_told_a_third() -> None:
    wallet = ScriptedBalances("treasury", main=6000)
    manager = make_manager(ScriptedEquity(amount=50_000), wallet, a=["treasury"], b=["treasury"], c=["treasury/main"])
    found = await look(manager)
    assert balances(found) == {"a": 2000, "b": 2000, "c": 2000}
    assert {snapshot.shortfall for snapshot in found.values()} == {3000}
    assert wallet.reads == 1
    assert len({manager.account_group(mode) for mode in "abc"}) == 1


async def test_own_accounts_count_before_what_is_shared() -> None:
    source = ScriptedBalances("t", pool=150, own=90)
    manager = make_manager(ScriptedEquity(), source, a=["t/pool", "t/own"], b=["t/pool"])
    assert balances(await look(manager)) == {
        "a": 90 + Decimal(10) + Decimal(20),
        "b": 100 + Decimal(20),
    }


async def test_modes_are_checked_together_at_the_shortest_interval() -> None:
    seen = Seen()
    source = ScriptedBalances("t", pool=110, alone=110)
    manager = make_manager(
        EquityByMode(often=100, seldom=1000, alone=1000),
        source,
        observers=[seen],
        often={"reserve_balance_sources": ["t/pool"], "reserve_monitoring_interval": "0.05"},
        seldom={"reserve_balance_sources": ["t/pool"], "reserve_monitoring_interval": 3000},
        alone={"reserve_balance_sources": ["t/alone"], "reserve_monitoring_interval": 3000},
    )
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: seen.checked_modes.count("seldom") >= 3, "checks of the slower mode")
    manager.stop_monitoring()
    await running
    assert seen.checked_modes.count("alone") == 1
    assert abs(seen.checked_modes.count("seldom") - seen.checked_modes.count("often")) <= 1


async def test_none_who_shares_rests_while_what_another_needs_may_be_new() -> None:
    seen = Seen()
    nav = EquityByMode(a=1000, b=1000, alone=1000)
    manager = make_manager(
        nav, ScriptedBalances("t", pool=300, alone=300), observers=[seen], a=["t/pool"], b=["t/pool"], alone=["t/alone"]
    )
    for equity in (1000, 1000, 1100):
        nav.amounts["b"] = equity
        found = await look(manager)
    assert seen.checked_modes.count("a") == 3
    assert (seen.checked_modes.count("alone"), seen.refreshed_modes) == (1, ["alone", "alone"])
    assert balances(found)["a"] == Decimal("142.857142857142857143")


async def test_sharing_begins_and_ends_as_modes_are_configured() -> None:
    manager = make_manager(ScriptedEquity(), ScriptedBalances("t", x=100, y=40), a=["t/x"])
    assert balances(await look(manager)) == {"a": 100}
    manager.set_reserve_config("b", {**BASE, "reserve_balance_sources": ["t/x", "t/y"]})
    manager.set_reserve_config("c", {**BASE, "reserve_balance_sources": ["t/y"]})
    assert manager.account_group("c") == manager.account_group("a"), "c shares with b, which shares with a"
    assert sum(each or 0 for each in balances(await look(manager)).values()) == 140
    manager.set_reserve_config("b", {**BASE, "reserve_balance_sources": ["t/y"]})
    assert manager.account_group("a") != manager.account_group("c") == manager.account_group("b")
    assert balances(await look(manager)) == {"a": 100, "b": 20, "c": 20}
    manager.set_reserve_config("c", {**BASE, "reserve_balance_sources": ["t/x"]})
    assert balances(await look(manager)) == {"a": 50, "b": 40, "c": 50}


def test_sharing_is_refused_when_modes_do_not_agree_how() -> None:
    manager = make_manager(ScriptedEquity(), ScriptedBalances("t", x=1, y=1), a=["t"])
    priority = {**BASE, "reserve_balance_sources": ["t"], "reserve_allocation": "priority"}
    with pytest.raises(ConfigError, match="b: reserve_allocation: must be pro_rata, as a has it") as raised:
        manager.set_reserve_config("b", priority)
    assert len(raised.value.problems) == 1
    assert "b" not in manager.reserve_configs
    manager.set_reserve_config("a", {**priority, "reserve_allocation_priority": 1})
    with pytest.raises(ConfigError, match="b: reserve_allocation_priority: is required"):
        manager.set_reserve_config("b", priority)


async def test_account_is_read_under_the_name_that_stands_first() -> None:
    first, second = WalletBalances("first", hot=100), WalletBalances("second", warm=0, hot=40)
    manager = make_manager(ScriptedEquity(), first, second, a=["first"], b=["second/hot"])
    found = await look(manager)
    assert balances(found) == {"a": 50, "b": 50}
    assert found["b"].accounts[0].account == "first/hot"
    assert (first.reads, second.reads) == (1, 0)


async def test_account_counts_once_when_a_mode_has_two_names_for_it() -> None:
    first, second = WalletBalances("first", hot=100), WalletBalances("second", hot=40)
    manager = make_manager(ScriptedEquity(), first, second, a=["first", "second"])
    assert balances(await look(manager)) == {"a": 100}
    assert second.reads == 0


@pytest.mark.parametrize("others", [{}, {"b": ["second"]}])
async def test_account_is_unknown_when_two_names_must_agree_and_do_not(others: dict[str, Any]) -> None:
    first, second = WalletBalances("first", hot=100), WalletBalances("second", hot="100.00")
    keys = {"reserve_balance_sources": ["first", "second"], "reserve_require_agreement": True}
    manager = make_manager(ScriptedEquity(), first, second, a=keys, **others)
    agreed = await look(manager)
    assert sum(snapshot.reserve_balance or 0 for snapshot in agreed.values()) == 100
    second.amounts["hot"] = 99
    found = await look(manager)
    assert {snapshot.status for snapshot in found.values()} == {ReserveStatus.UNKNOWN}
    assert found["a"].missing == ("first/hot: first/hot says 100, second/hot says 99: they must agree",)
    second.misbehave = returns(Reading([]))
    found = await look(manager)
    assert found["a"].missing == ("first/hot: second/hot, which must agree: USDT is missing",)
    second.misbehave = None
    second.amounts["hot"] = 100
    assert sum(snapshot.reserve_balance or 0 for snapshot in (await look(manager)).values()) == 100


async def test_snapshot_is_calculated_as_if_the_mode_were_configured_otherwise() -> None:
    manager = make_manager(ScriptedEquity(), ScriptedBalances("t", x=100, y=60), a=["t/x"], b=["t/x"], c=["t/y"])
    assert await manager.get_reserve_balance("a") == 50
    other = {**BASE, "reserve_balance_sources": ["t/y"]}
    assert (await manager.calculate_reserve_snapshot("a", other)).reserve_balance == 30
    assert manager.latest_snapshot("a") is manager.latest_snapshot("b") is None
    assert manager.explain("a") is manager.standing("a") is None


async def test_some_modes_are_checked_with_all_who_share_with_them() -> None:
    pool, other = ScriptedBalances("pool", main=100), ScriptedBalances("other", main=100)
    manager = make_manager(ScriptedEquity(), pool, other, a=["pool"], b=["pool"], c=["other"])
    found = await manager.check_reserves(["b"])
    assert {mode: snapshot.reserve_balance for mode, snapshot in found.items()} == {"b": 50}
    assert other.reads == 0


async def test_others_are_told_at_once_when_a_jump_is_confirmed() -> None:
    """A deposit doubles the equity of one mode: the other has only bounds until the second reading in the cycle."""
    nav = EquityByMode(a=1000, b=400)
    source = ScriptedBalances("t", pool=150)
    manager = make_manager(nav, source, a=["t"], b=["t"])
    assert (await look(manager))["a"].reserve_balance == Decimal("107.142857142857142858")
    nav.amounts["b"] = 1000
    found = await look(manager)
    assert source.reads == 3
    assert balances(found) == {"a": 75, "b": 75}


async def test_a_flapping_sharer_is_asked_twice_a_cycle_at_most() -> None:
    source = ScriptedBalances("t", pool=500, own=100)
    manager = make_manager(ScriptedEquity(), source, a=["t/pool"], b=["t/pool", "t/own"])
    await look(manager)
    source.script = [{"own": 1}, {"own": 40}, {"own": 2}]
    await look(manager)
    assert source.reads == 3


async def test_explanation_says_where_amounts_came_from() -> None:
    class Chain(WalletBalances):
        async def fetch_balances(self) -> Any:
            reading = await super().fetch_balances()
            return Reading([Balance(b.account, b.asset, b.amount, b.observed_at, block=7) for b in reading.balances])

    nav = EquityByMode(a=1000, b=1000, alone=1000)
    manager = make_manager(nav, Chain("t", pool=150, alone=90), a=["t/pool"], b=["t/pool"], alone=["t/alone"])
    await look(manager)
    await look(manager)
    shared, alone = manager.explain("a"), manager.explain("alone")
    assert shared is not None
    assert alone is not None
    (part,) = shared.snapshot.accounts
    assert (part.account, part.amount, part.part, part.method, part.block) == ("t/pool", 150, 75, "pro_rata", 7)
    (part,) = alone.snapshot.accounts
    assert (part.account, part.amount, part.part, part.method, part.block) == ("t/alone", 90, 90, None, 7)
    assert (alone.equity.source, alone.low_below, alone.critical_below) == ("equity_calculator", 100, 50)
    assert alone.equity.observed_at is not None
    assert alone.confirmed is ReserveStatus.LOW
    assert alone.why.startswith("90 of 100 USDT is 0.9 of the target")
    nav.amounts["b"] = returns(None)
    await look(manager)
    unknown = manager.explain("b")
    assert unknown is not None
    assert (unknown.equity.problem, unknown.low_below) == (
        "invalid_data: fetch_equity() returned NoneType, not Equity",
        None,
    )


class Promises(Holds):
    """30 are held of the accounts of the group; 500 of the equity of a are owed."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Decimal]] = []

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        self.asked.append((mode, sum((balance.amount for balance in balances), Decimal(0))))
        return Decimal(30)

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        return Decimal(30 if mode == "a" else 0)

    def owed(self, mode: str, equity: Equity) -> Decimal:
        return Decimal(500 if mode == "a" else 0)


async def test_what_is_held_of_the_group_is_taken_off_once() -> None:
    source = ScriptedBalances("t", pool=105, own=20)
    manager = make_manager(ScriptedEquity(), source, a=["t/pool"], b=["t/pool", "t/own"])
    manager.holds = promises = Promises()
    found = await look(manager)
    assert promises.asked == [("a", Decimal(125))]
    assert found["a"].target_reserve == 50
    assert sum(snapshot.reserve_balance or 0 for snapshot in found.values()) == 95
    assert {snapshot.held for snapshot in found.values()} == {30}
    for mode in "ab":
        standing = manager.standing(mode)
        assert standing is not None
        assert standing.reading is not None
        assert standing.reading.balance == 125, "the balance of the group, by which arrivals are measured"


async def test_reading_of_the_group_is_not_told_when_a_part_of_it_is_missing_or_in_doubt() -> None:
    source = ScriptedBalances("t", pool=500, own=100)
    manager = make_manager(ScriptedEquity(), source, a=["t/pool"], b=["t/pool", "t/own"])
    await look(manager)
    source.script = [{"own": 1}, {"own": 40}]
    await look(manager)
    standing = manager.standing("a")
    assert standing is not None
    assert standing.reading is None
    source.misbehave = returns(Reading([]))
    found = await look(manager)
    standing = manager.standing("a")
    assert standing is not None
    assert standing.reading is None
    assert found["a"].bounds == Bounds(Decimal(0), None)
