"""Sources that repeat an observation: a wrong one must not confirm itself, a true one must not be ignored for long.

A mode needs 100 USDT, a tenth of its equity of 1,000, and is checked every 30 seconds.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd import ReserveManager, ReserveStatus
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import ReserveEvent
from support.hand_clock import HandClock
from support.sources import EquityByMode, ScriptedBalances, ScriptedEquity, WalletBalances

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
BASE = {"share_class": "USDT", "reserve_ratio": "0.1"}


class Scrape:
    """A mode whose balance is observed at a scrape and repeated until the next one.

    Attributes:
        source: Its balance source.
        nav: Its equity source, which repeats its value too after `scrape_equity` was called.
        events: All events so far.
    """

    def __init__(self, **keys: object) -> None:
        self.source = ScriptedBalances("prom", main=150)
        self.nav = ScriptedEquity()
        self.clock = HandClock()
        self.manager = ReserveManager(self.nav, {"prom": self.source}, clock=self.clock)
        self.manager.set_reserve_config("m", {**BASE, **keys})
        self.events: list[ReserveEvent] = []
        self.manager.add_reserve_callback(self.events.append)

    def scrape(self, amount: int, block: int | None = None) -> None:
        """Observe an amount once. With a block, each reading has a new time but the same block."""
        at = datetime.now(UTC)

        async def tell() -> Reading:
            return Reading([Balance("main", "USDT", Decimal(amount), datetime.now(UTC) if block else at, block=block)])

        self.source.misbehave = tell

    def scrape_equity(self, amount: int) -> None:
        """Observe an equity once."""
        at = datetime.now(UTC)

        async def tell() -> Any:
            return Equity(Decimal(amount), "USDT", at)

        self.nav.misbehave = tell

    async def look(self, times: int = 1) -> int:
        """Check this many times, 30 seconds apart, and return how often the balance was read."""
        before = self.source.reads
        for _ in range(times):
            self.clock.advance(30)
            await self.manager.check_all_reserves()
        await self.manager.close()
        return self.source.reads - before

    @property
    def said(self) -> list[str]:
        return [event.event_type.removeprefix("reserve_") for event in self.events]


@pytest.fixture
async def world() -> Scrape:
    world = Scrape()
    world.scrape(150)
    await world.look()
    return world


@pytest.mark.parametrize("block", [None, 7])
async def test_nothing_is_said_when_one_scrape_was_wrong(world: Scrape, block: int | None) -> None:
    world.scrape(0, block)
    assert await world.look(2) == 3, "one additional reading at once, then one per check"
    world.scrape(150)
    await world.look()
    assert (world.said, world.manager.status("m")) == ([], ADEQUATE)


async def test_log_tells_once_what_is_doubted_when_a_reading_waits_for_a_newer_one(world: Scrape) -> None:
    """The status and its gauge do not show it, so that an operator sees why a shortfall is not yet announced."""
    world.scrape(0)
    with capture_logs() as lines:
        await world.look(2)
    told = [line for line in lines if line["event"] == "reading.doubted"]
    assert [(line["mode"], line["status"], line["seen"]) for line in told] == [("m", "adequate", "critical")]
    assert told[0]["why"] == "balance went from 150 to 0 USDT"


async def test_nothing_is_said_when_one_equity_was_wrong(world: Scrape) -> None:
    world.scrape_equity(10_000)
    await world.look(2)
    world.scrape_equity(1000)
    await world.look()
    assert (world.said, world.manager.status("m")) == ([], ADEQUATE)


@pytest.mark.parametrize("block", [None, 7])
async def test_critical_is_said_with_the_next_scrape_when_the_wallet_was_emptied(
    world: Scrape, block: int | None
) -> None:
    world.scrape(0, block)
    await world.look()
    assert world.said == []
    world.scrape(0, block and block + 1)
    await world.look()
    assert world.said == ["critical"]


async def test_critical_is_said_within_two_minutes_when_a_source_renews_its_numbers_once_a_day() -> None:
    world = Scrape(reserve_max_staleness=2 * 86400)
    world.scrape(150)
    world.scrape_equity(1000)
    await world.look()
    world.scrape(0)
    assert await world.look(4) == 5, "one additional reading in all"
    assert world.said == []
    await world.look()
    assert world.said == ["critical"]


async def test_no_incident_ends_when_the_equity_of_a_sharer_reads_0_and_is_told_again() -> None:
    wallet, nav, clock = WalletBalances("t", pool=160), EquityByMode(a=1000, b=1000), HandClock()
    manager = ReserveManager(nav, {"t": wallet}, clock=clock)
    for mode in "ab":
        manager.set_reserve_config(mode, BASE)
    said: list[ReserveEvent] = []
    manager.add_reserve_callback(said.append)
    await manager.check_all_reserves()
    at = datetime.now(UTC)

    async def nothing() -> Equity:
        return Equity(Decimal(0), "USDT", at)

    nav.amounts["b"] = nothing
    for _ in range(2):
        clock.advance(30)
        reads = wallet.reads
        await manager.check_all_reserves()
        assert wallet.reads - reads <= 2
    assert [manager.status(mode) for mode in "ab"] == [LOW, LOW]
    assert wallet.reads - reads == 1, "no additional reading once the observation was repeated"
    at += timedelta(milliseconds=1)
    clock.advance(30)
    await manager.check_all_reserves()
    await manager.close()
    assert [manager.status(mode) for mode in "ab"] == [ADEQUATE, ADEQUATE]
    assert sorted(f"{event.strategy_mode} {event.event_type}" for event in said) == [
        "a reserve_adequate",
        "a reserve_low",
        "b reserve_adequate",
        "b reserve_low",
    ]
