"""Thousands of modes read one source: a limited number of calls at once, each with its full timeout."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from reservd import ReserveManager, ReserveStatus
from reservd.plugin import Equity
from support.sources import EquityByMode, ScriptedBalances, hangs

BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_equity_source": "nav"}


class CountedEquity(EquityByMode):
    """Counts concurrent calls; those for the modes in `hanging` never end."""

    calls_at_once = 4

    def __init__(self, timeout: float) -> None:
        super().__init__("nav")
        self.config = self.Config(timeout=timeout)
        self.under_way = 0
        self.most = 0
        self.all_taken = asyncio.Event()
        self.hanging: frozenset[str] | None = frozenset()
        self.seconds = 0.0

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        self.asked.append(mode)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.most == self.calls_at_once:
            self.all_taken.set()
        try:
            await self.all_taken.wait()
            await asyncio.sleep(self.seconds)
            if self.hanging is None or mode in self.hanging:
                await hangs()
            return Equity(Decimal(1000), currency, datetime.now(UTC))
        finally:
            self.under_way -= 1


def watched(nav: CountedEquity, count: int) -> tuple[ReserveManager, list[str]]:
    manager = ReserveManager(
        {"nav": nav, "other": EquityByMode("other", beside=1000)},
        {"t": ScriptedBalances("t", **{str(n): 100 for n in range(count)}, beside=100)},
    )
    modes = [f"mode_{number}" for number in range(count)]
    for number, mode in enumerate(modes):
        manager.set_reserve_config(mode, {**BASE, "reserve_balance_sources": [f"t/{number}"]})
    manager.set_reserve_config(
        "beside", {**BASE, "reserve_equity_source": "other", "reserve_balance_sources": ["t/beside"]}
    )
    return manager, modes


async def test_source_is_asked_for_so_many_modes_at_a_time() -> None:
    nav = CountedEquity(timeout=30)
    manager, modes = watched(nav, 50)
    await manager.check_all_reserves()
    assert nav.most == 4
    assert sorted(nav.asked) == sorted(modes)
    assert {manager.status(mode) for mode in modes} == {ReserveStatus.ADEQUATE}
    await manager.close()


async def test_deadline_begins_with_the_turn_when_many_wait() -> None:
    """Thirteen turns of a twelfth of the timeout each: no reading times out by waiting for its turn."""
    nav = CountedEquity(timeout=5)  # longer than a busy machine keeps the loop from running
    nav.seconds = 5 / 12
    manager, modes = watched(nav, 50)
    await manager.check_all_reserves()
    assert {manager.status(mode) for mode in modes} == {ReserveStatus.ADEQUATE}
    await manager.close()


async def test_one_that_hangs_costs_its_own_reading_when_others_wait_behind_it() -> None:
    nav = CountedEquity(timeout=1)
    nav.hanging = frozenset({"mode_0", "mode_1", "mode_7"})
    manager, modes = watched(nav, 20)
    await manager.check_all_reserves()
    assert {mode for mode in modes if manager.status(mode) is not ReserveStatus.ADEQUATE} == nav.hanging
    await manager.close()


async def test_waiting_ends_when_a_source_answers_nobody_and_begins_anew_when_it_does() -> None:
    """A hundred modes do not wait for twenty-five timeouts, and other sources do not wait at all."""
    nav = CountedEquity(timeout=1)
    nav.hanging = None
    manager, modes = watched(nav, 100)
    await manager.check_all_reserves()
    assert len(nav.asked) < 30
    snapshot = manager.explain(modes[-1]).snapshot
    assert snapshot.status is ReserveStatus.UNKNOWN
    assert "the previous calls have not been answered" in snapshot.missing[0]
    assert manager.status("beside") is ReserveStatus.ADEQUATE
    nav.hanging = frozenset()
    await manager.check_all_reserves()
    assert {manager.status(mode) for mode in modes} == {ReserveStatus.ADEQUATE}
    await manager.close()
