"""Sources report older observations than before: two nodes behind one address, or a lagging node takes over.

A mode needs 100 USDT, a tenth of its equity of 1,000. A different amount with an earlier time is not believed: it
neither ends nor opens an incident.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason
from reservd.plugin import AccountFailure, Balance, Equity, Reading
from reservd.reserve.models import ReserveEvent
from reservd.reserve.state import Instant
from reservd.store.encoding import encode
from reservd.store.states import decode_state
from support.portfolio import Ledger, Market, portfolio
from support.sources import ScriptedBalances, ScriptedEquity, raises, returns

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class SetClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.wall, self.monotonic = BEGIN, 1000.0

    def advance(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic += seconds

    def now(self) -> Instant:
        return Instant(self.wall, self.monotonic)


class Chain:
    """A mode whose reserve is read once per block, every 12 seconds, from nodes that may lag.

    Attributes:
        clock: Starts at the time of block 100.
        events: All events so far.
    """

    def __init__(self, *modes: str) -> None:
        self.clock = SetClock()
        self.node = ScriptedBalances("node", main=110, other=0)
        self.nav = ScriptedEquity()
        self.events: list[ReserveEvent] = []
        self._modes = modes or ("m",)
        self._start()

    def _start(self, **keys: object) -> None:
        self.manager = ReserveManager(self.nav, {"node": self.node}, clock=self.clock)
        for mode in self._modes:
            self.manager.set_reserve_config(mode, {"share_class": "USDT", "reserve_ratio": "0.1", **keys})
        self.manager.add_reserve_callback(self.events.append)

    async def restart(self, **keys: object) -> None:
        """Begin with what was stored, and other keys of the configuration."""
        await self.manager.close()
        kept = {mode: decode_state(encode(state)) for mode, state in self.manager.kept_states().items()}
        self._start(**{f"reserve_{key}": value for key, value in keys.items()})
        self.manager.restore(kept)
        self.manager.begin()

    def at(self, block: int, amount: object, account: str = "main") -> Balance:
        """Return what a node reports at a block."""
        return Balance(
            account, "USDT", Decimal(str(amount)), BEGIN + timedelta(seconds=12 * (block - 100)), block=block
        )

    async def look(self, *found: Balance | AccountFailure, seconds: float = 12, equity: Any = None) -> None:
        """Check once; the balances and equity given are what the sources report."""
        self.clock.advance(seconds)
        balances = [each for each in found if isinstance(each, Balance)]
        if all(balance.account != "other" for balance in balances):
            balances.append(Balance("other", "USDT", Decimal(0), self.clock.wall))
        failures = [each for each in found if isinstance(each, AccountFailure)]
        self.node.misbehave = returns(Reading(balances, failures))
        self.nav.misbehave = returns(equity or Equity(Decimal(1000), "USDT", self.clock.wall))
        await self.manager.check_all_reserves()

    @property
    def missing(self) -> str:
        snapshot = self.manager.latest_snapshot("m")
        assert snapshot is not None
        return "; ".join(snapshot.missing)

    async def said(self) -> list[str]:
        await self.manager.close()
        return [event.event_type.removeprefix("reserve_") for event in self.events]


@pytest.fixture
async def chain() -> Chain:
    """A chain on which the reserve fell from 110 to 90 at block 101."""
    chain = Chain()
    await chain.look(chain.at(100, 110), seconds=0)
    await chain.look(chain.at(101, 90))
    return chain


async def test_incident_is_not_over_when_a_node_that_lags_tells_of_a_block_before_it(chain: Chain) -> None:
    for _ in range(3):
        await chain.look(chain.at(100, 110), seconds=1)
        assert chain.manager.status("m") is LOW
        assert (
            "invalid_data: the answer is dated 2026-03-01T12:00:00+00:00 and contradicts one read before, "
            "dated 2026-03-01T12:00:12+00:00" in chain.missing
        )
        await chain.look(chain.at(101, 90), seconds=1)
        assert (chain.manager.status("m"), chain.missing) == (LOW, "")
    await chain.look(chain.at(102, 110))
    assert await chain.said() == ["low", "adequate"]
    assert len({event.incident_id for event in chain.events}) == 1


async def test_nothing_is_said_when_a_node_that_lags_tells_of_a_block_before_a_refill(chain: Chain) -> None:
    await chain.look(chain.at(102, 120))
    await chain.look(chain.at(101, 90), seconds=1)
    await chain.look(chain.at(103, 120))
    assert await chain.said() == ["low", "adequate"]


async def test_nothing_is_missing_when_a_node_that_lags_tells_the_same_amount(chain: Chain) -> None:
    await chain.look(chain.at(102, 90))
    await chain.look(chain.at(101, 90), seconds=1)
    assert (chain.manager.status("m"), chain.missing) == (LOW, "")
    await chain.look(chain.at(100, 110), seconds=1)
    assert "contradicts" in chain.missing, "the observation of block 102 is still remembered"


async def test_observation_stays_the_newest_when_a_node_that_lags_tells_the_same_amount(chain: Chain) -> None:
    """Which payments an amount includes depends on when it was observed."""
    await chain.look(chain.at(102, 90))
    await chain.look(chain.at(101, 90), seconds=1)
    snapshot = chain.manager.latest_snapshot("m")
    assert snapshot is not None
    assert snapshot.seen[0].block == 102


async def test_jump_is_not_taken_back_by_a_node_that_lags(chain: Chain) -> None:
    """The confirming reading comes from another node, which has not seen the fall yet: it fails, and the next block
    confirms.
    """
    answers = [chain.at(102, 5), chain.at(101, 90)]

    async def tell() -> Reading:
        return Reading([answers.pop(0), chain.at(102, 0, "other")])

    chain.clock.advance(12)
    chain.node.misbehave = tell
    await chain.manager.check_all_reserves()
    await chain.look(chain.at(103, 5))
    assert await chain.said() == ["low", "critical"]


async def test_what_was_told_is_remembered_while_nothing_can_be_read(chain: Chain) -> None:
    down = AccountFailure("main", FailureReason.TIMEOUT)
    await chain.look(down, seconds=1)
    await chain.look(down, seconds=1)
    await chain.look(chain.at(100, 110), seconds=1)
    chain.node.misbehave = raises(TimeoutError())
    await chain.manager.check_all_reserves()
    await chain.look(chain.at(100, 110), seconds=1)
    assert await chain.said() == ["low"]


async def test_incident_is_not_over_when_a_node_that_lags_is_read_after_a_restart(chain: Chain) -> None:
    """As when the standby that takes over asks another node."""
    await chain.restart()
    for _ in range(2):
        await chain.look(chain.at(100, 110), seconds=1)
        assert "contradicts" in chain.missing
    await chain.look(chain.at(101, 90), seconds=1)
    assert chain.missing == ""
    await chain.look(chain.at(102, 90))
    await chain.look(chain.at(103, 110))
    assert await chain.said() == ["low", "adequate"]


async def test_incident_of_sharers_is_not_over_when_a_node_that_lags_is_read_after_a_restart() -> None:
    chain = Chain("m", "n")
    await chain.look(chain.at(100, 210), seconds=0)
    await chain.look(chain.at(101, 190))
    await chain.restart()
    await chain.look(chain.at(100, 210), seconds=1)
    assert "contradicts" in chain.missing
    assert await chain.said() == ["low", "low"]


async def test_what_was_told_before_a_restart_is_forgotten_after_two_minutes(chain: Chain) -> None:
    """Its account may be another one now, whose source tells of this morning."""
    await chain.restart(max_staleness=3600)
    await chain.look(chain.at(100, 110), seconds=120)
    assert "contradicts" in chain.missing
    await chain.look(chain.at(100, 110), seconds=1)
    assert (await chain.said(), chain.missing) == (["low", "adequate"], "")


async def test_balance_that_accrues_is_known_when_every_second_node_lags() -> None:
    """The balance changes with every block, as that of an aToken: the newer observation remains valid."""
    chain = Chain()
    for block in range(100, 110):
        told = chain.at(block, 110 + Decimal(block) / 10_000)
        for lag in (0, 2):
            await chain.look(chain.at(block - lag, 110 + Decimal(block - lag) / 10_000), seconds=6)
            snapshot = chain.manager.latest_snapshot("m")
            assert snapshot is not None
            assert (chain.missing, snapshot.reserve_balance, snapshot.observed_at) == (
                "",
                told.amount,
                told.observed_at,
            )
    assert await chain.said() == []


@pytest.mark.parametrize("earlier", ["89.98", "90.02"])
async def test_balance_that_differs_by_more_than_accrues_has_failed(chain: Chain, earlier: str) -> None:
    await chain.look(chain.at(100, earlier), seconds=1)
    assert "contradicts" in chain.missing
    assert await chain.said() == ["low"]


async def test_balance_that_accrued_has_failed_when_a_node_is_more_than_a_minute_behind(chain: Chain) -> None:
    await chain.look(chain.at(106, "90.001"), seconds=60)
    await chain.look(chain.at(101, 90), seconds=1)
    assert chain.missing == ""
    await chain.look(chain.at(100, "89.9998"), seconds=1)
    assert "contradicts" in chain.missing


async def test_balance_that_accrued_is_unknown_in_time_when_nothing_but_an_earlier_moment_is_told(chain: Chain) -> None:
    """The age that counts is that of the newest observation, which is not renewed by an earlier one."""
    for _ in range(10):
        await chain.look(chain.at(100, "89.9999"))
    assert (chain.manager.status("m"), chain.missing) == (LOW, "")
    await chain.look(chain.at(100, "89.9999"), seconds=1)
    assert chain.manager.status("m") is UNKNOWN
    assert await chain.said() == ["low", "unknown"]


async def test_jump_is_not_confirmed_by_a_node_that_lags_and_tells_nearly_the_same(chain: Chain) -> None:
    answers = [chain.at(103, 5), chain.at(102, "4.9999")]

    async def tell() -> Reading:
        return Reading([answers.pop(0), chain.at(103, 0, "other")])

    chain.clock.advance(24)
    chain.node.misbehave = tell
    await chain.manager.check_all_reserves()
    assert (answers, chain.manager.status("m")) == ([], LOW)
    await chain.look(chain.at(104, "5.0001"))
    assert await chain.said() == ["low", "critical"]


async def test_account_that_lags_takes_no_other_one_with_it(chain: Chain) -> None:
    """Only the lagging account fails; the other one alone is more than the target."""
    await chain.look(chain.at(100, 110), chain.at(101, 110, "other"), seconds=1)
    assert await chain.said() == ["low", "adequate"]


async def test_blocks_of_one_second_are_told_apart_by_their_numbers(chain: Chain) -> None:
    at = chain.at(102, 0).observed_at
    later, earlier = (
        Balance("main", "USDT", Decimal(amount), at, block=block) for block, amount in ((7, 90), (6, 110))
    )
    await chain.look(later)
    await chain.look(earlier, seconds=0.2)
    assert "contradicts" in chain.missing
    assert await chain.said() == ["low"]


async def test_chain_that_begins_anew_is_believed_at_once(chain: Chain) -> None:
    await chain.look(Balance("main", "USDT", Decimal(110), chain.at(102, 0).observed_at, block=1))
    assert await chain.said() == ["low", "adequate"]


async def test_venue_whose_clock_was_ahead_is_believed_as_soon_as_it_is_set_right(chain: Chain) -> None:
    await chain.look(chain.at(106, 90))
    await chain.look(chain.at(103, 110))
    assert (await chain.said(), chain.missing) == (["low", "adequate"], "")


async def test_sources_are_believed_when_the_clock_of_this_machine_is_set_back(chain: Chain) -> None:
    """Observations dated by that clock are older than those before, and must be accepted."""
    chain.clock.wall -= timedelta(hours=1)
    await chain.look(Balance("main", "USDT", Decimal(110), chain.clock.wall))
    assert (await chain.said(), chain.missing) == (["low", "adequate"], "")


async def test_source_that_tells_nothing_but_an_earlier_moment_is_unknown_in_time(chain: Chain) -> None:
    for _ in range(20):
        await chain.look(chain.at(100, 110))
    assert chain.manager.status("m") is UNKNOWN
    await chain.look(chain.at(123, 110))
    assert await chain.said() == ["low", "unknown", "adequate"]


async def test_equity_of_an_earlier_moment_is_not_believed(chain: Chain) -> None:
    """With an equity of 800 the reserve of 90 would be adequate."""
    await chain.look(chain.at(102, 90))
    told = Equity(Decimal(1000), "USDT", chain.clock.wall)
    await chain.look(chain.at(103, 90), equity=told)
    await chain.look(chain.at(104, 90), equity=Equity(Decimal(800), "USDT", told.observed_at - timedelta(seconds=1)))
    snapshot = chain.manager.latest_snapshot("m")
    assert snapshot is not None
    assert (snapshot.total_equity, snapshot.observed_at) == (1000, told.observed_at)
    assert await chain.said() == ["low"]


async def test_equity_is_unknown_in_time_when_nothing_but_an_earlier_moment_is_told(chain: Chain) -> None:
    old = Equity(Decimal(800), "USDT", BEGIN)
    for block in range(102, 114):
        await chain.look(chain.at(block, 90), equity=old)
    assert "equity is dated 2026-03-01T12:00:12+00:00, too far from the present" in chain.missing
    much_older = Equity(Decimal(800), "USDT", BEGIN - timedelta(seconds=60))
    await chain.look(chain.at(114, 90), equity=much_older)
    assert "invalid_data: the answer is dated 2026-03-01T11:59:00+00:00 and contradicts" in chain.missing
    assert await chain.said() == ["low", "unknown"]


async def test_no_mode_is_unknown_when_two_nodes_take_turns_and_one_lags() -> None:
    """One mode always gets the lagging node, and another mode has just got a newer equity from the other node."""
    clock, nav, node = SetClock(), ScriptedEquity(), ScriptedBalances("node", main=0, other=0)
    manager = ReserveManager(nav, {"node": node}, clock=clock)
    for mode, account in (("a", "main"), ("b", "other")):
        keys = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_balance_sources": [f"node/{account}"]}
        manager.set_reserve_config(mode, {**keys, "reserve_max_staleness": 120})
    events: list[ReserveEvent] = []
    manager.add_reserve_callback(events.append)
    for _ in range(10):
        clock.advance(30)
        node.misbehave = returns(
            Reading([Balance(account, "USDT", Decimal(210), clock.wall) for account in ("main", "other")])
        )
        for mode, lag in (("a", 0), ("b", 2)):
            at = clock.wall - timedelta(seconds=lag)
            nav.misbehave = returns(Equity(Decimal(1000 + at.second), "USDT", at))
            await manager.check_reserves([mode])
            assert manager.status(mode) is ADEQUATE
    await manager.close()
    assert events == []


async def test_price_of_an_earlier_moment_is_not_believed() -> None:
    """At a price of 3,000 the equity is 990 and the target 99.

    At 2,500 they would be 840 and 84, and 90 would be adequate.
    """
    market, ledger = Market(ETH_USDT=3000), Ledger(main__USDT=90, cold__ETH="0.3")
    nav = portfolio(balances=[{"source": "treasury"}], prices={"ETH": {"source": "market", "max_age": 600}})
    events: list[ReserveEvent] = []
    manager = ReserveManager(nav, {"treasury": ledger}, price_sources={"market": market})
    own = {"reserve_balance_sources": ["treasury/main"], "share_class": "USDT", "reserve_ratio": "0.1"}
    manager.set_reserve_config("m", own)
    manager.add_reserve_callback(events.append)
    await manager.check_all_reserves()
    market.values["ETH/USDT"], market.age = 2500, 60
    found = (await manager.check_all_reserves())["m"]
    assert (manager.status("m"), found.total_equity) == (LOW, 990), "the newer price stands"
    market.age = 300
    found = (await manager.check_all_reserves())["m"]
    assert (manager.status("m"), found.total_equity) == (LOW, None), "a price that is older by this much has failed"
    market.age = 0
    await manager.check_all_reserves()
    await manager.close()
    assert [event.event_type for event in events] == ["reserve_low", "reserve_adequate"]
