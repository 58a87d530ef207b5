"""Wrong prices, and parts of the equity that cannot be read: they must neither raise nor end an alarm.

A fund has about 1,000 USDT: 110 or 74 payable in its treasury, the rest in ether at 3,000 in a cold wallet and in a
vault. Its target is a tenth. Ether is priced by a feed on a real node and compared with a second market. Without the
ether the target would be so small that any reserve met it; with ten times its price, none would.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.reserve.models import ReserveEvent
from reservd.reserve.readings import Equity
from reservd_chainlink.source import ChainlinkPriceSource
from support.chain import Anvil
from support.feeds import Feed
from support.portfolio import Ledger, Market, Position, portfolio
from support.rigs.watch import Steps
from support.sources import raises

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
PAYABLE = {ADEQUATE: 110, LOW: 74}
HEALING_LOOKS = 20


@dataclass
class Fund(Observer):
    """The fund, its prices and its events."""

    chain: Anvil
    begin: ReserveStatus
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ether = Feed(self.chain)
        self.tether = Feed(self.chain, "USDT / USD")
        self.sequencer = Feed(self.chain, "L2 Sequencer Uptime Status Feed", 0)
        self.ether.answers(3000)
        self.tether.answers(1)
        self.sequencer.answered(0, started_ago=10_000)
        self.treasury = Ledger(main__USDT=PAYABLE[self.begin])
        self.cold = Ledger("cold", main__ETH="0.2")
        self.vault = Position("vault", amount=290)
        self.market = Market("market", ETH_USDT=3000)
        self.clock = Steps()
        options = {
            "rpc_url": self.chain.url,
            "chain_id": 31337,
            "timeout": 30,
            "feeds": {"ETH/USD": self.ether.options(3600), "USDT/USD": self.tether.options(86_400)},
            "pairs": {"ETH/USDT": ["ETH/USD", "USDT/USD"]},
            "sequencer": {"address": self.sequencer.address},
        }
        feeds = ChainlinkPriceSource("feeds", ChainlinkPriceSource.Config.model_validate(options))
        second = {"source": "market", "max_age": 60}
        nav = portfolio(
            balances=[{"source": "treasury"}, {"source": "cold"}],
            equity=[{"source": "vault"}],
            prices={"ETH": {"source": "feeds", "max_age": 60, "second": second, "max_deviation": "0.02"}},
            timeout=60,
        )
        self.manager = ReserveManager(
            {"nav": nav, "vault": self.vault},
            {"treasury": self.treasury, "cold": self.cold},
            price_sources={"feeds": feeds, "market": self.market},
            observers=[self],
            clock=self.clock,
        )
        mode = {"reserve_balance_sources": ["treasury/main"], "reserve_equity_source": "nav"}
        self.manager.set_reserve_config("fund", {"share_class": "USDT", "reserve_ratio": "0.1", **mode})

    def event_decided(self, event: ReserveEvent) -> None:
        if not event.reminder:
            self.said.append(event.event_type.removeprefix("reserve_"))

    @property
    def status(self) -> ReserveStatus:
        return self.manager.status("fund")

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.seconds += 30
            await self.manager.check_all_reserves()


@pytest.fixture(params=[ADEQUATE, LOW], ids=str)
async def fund(request: pytest.FixtureRequest, chain: Anvil) -> AsyncIterator[Fund]:
    """The fund, adequate or low, checked once."""
    fund = Fund(chain, request.param)
    await fund.look()
    assert fund.status is fund.begin
    yield fund
    await fund.manager.close()


Act = Callable[[Fund], Any]


def breaks(name: str) -> Act:
    def act(fund: Fund) -> None:
        getattr(fund, name).misbehave = raises(SourceError(FailureReason.UNREACHABLE, "refused"))

    return act


FAULTS: dict[str, tuple[Act, str]] = {
    "the feed stands still for longer than its heartbeat": (lambda f: f.ether.answered(3000, ago=3_700), "heartbeat"),
    "the feed tells a price of zero": (lambda f: f.ether.answered(0), "not above 0"),
    "the feed tells a negative price": (lambda f: f.ether.answered(-3000), "not above 0"),
    "the feed's round is not complete": (lambda f: f.ether.answered(30_000, updated_at=0), "not complete"),
    "the feed's answer is of an earlier round": (lambda f: f.ether.answered(300, id=5, answered_in=4), "earlier round"),
    "the feed of the share class stands still": (lambda f: f.tether.answered(1, ago=90_000), "USDT/USD"),
    "the two prices disagree": (lambda f: f.ether.answers(30_000), "disagree"),
    "the second price crashes": (lambda f: f.market.values.update({"ETH/USDT": "300"}), "disagree"),
    "the second price is zero": (lambda f: f.market.values.update({"ETH/USDT": "0"}), "price of ETH"),
    "the second price is old": (lambda f: setattr(f.market, "age", 90), "max_age"),
    "the second price cannot be read": (breaks("market"), "market"),
    "the sequencer is down": (lambda f: f.sequencer.answered(1, started_ago=60), "down"),
    "the sequencer has just come back": (lambda f: f.sequencer.answered(0, started_ago=60), "grace_period"),
    "the node cannot be reached": (lambda f: f.chain.stop(), "unreachable"),
    "the position cannot be read": (breaks("vault"), "vault"),
    "the position is incomplete": (lambda f: f.vault.fields.update(complete=False), "incomplete"),
    "the cold wallet cannot be read": (breaks("cold"), "cold/main ETH"),
    "the cold wallet lacks its asset": (lambda f: f.cold.silent.add("main/ETH"), "missing"),
    "the cold wallet's clock is an hour ahead": (lambda f: f.cold.ages.update({"main/ETH": -3600}), "has a part dated"),
    "the position's clock is an hour ahead": (lambda f: setattr(f.vault, "age", -3600), "has a part dated"),
    "the cold wallet's venue does not tell what is locked": (
        lambda f: f.cold.locked.update({"main/ETH": None}),
        "locked",
    ),
}


def heal(fund: Fund) -> None:
    """Remove every fault."""
    if fund.chain._process is None:
        fund.chain.start()
    fund.ether.answered(3000, id=9)
    fund.tether.answered(1, id=9)
    fund.sequencer.answered(0, started_ago=10_000)
    fund.market.values["ETH/USDT"] = 3000
    fund.market.age = 0
    fund.market.misbehave = fund.vault.misbehave = fund.cold.misbehave = None
    fund.vault.fields.clear()
    fund.cold.silent.clear()
    fund.cold.locked.clear()
    fund.cold.ages.clear()
    fund.vault.age = 0


@pytest.mark.parametrize(("act", "why"), FAULTS.values(), ids=FAULTS.keys())
async def test_status_is_neither_better_nor_worse_but_unknown_in_time(fund: Fund, act: Act, why: str) -> None:
    before = list(fund.said)
    act(fund)
    await fund.look(3)
    assert (fund.status, fund.said) == (fund.begin, before)
    snapshot = fund.manager.latest_snapshot("fund")
    assert snapshot is not None
    assert (snapshot.status, snapshot.total_equity) == (UNKNOWN, None)
    assert why in snapshot.missing[0]
    await fund.look(3)
    assert (fund.status, fund.said) == (UNKNOWN, [*before, "unknown"])
    heal(fund)
    for _ in range(HEALING_LOOKS):
        await fund.look()
        if fund.status is not UNKNOWN:
            break
    assert (fund.status, fund.said) == (fund.begin, [*before, "unknown", str(fund.begin)])


async def test_nothing_is_said_when_a_position_is_ten_times_too_large_once(fund: Fund) -> None:
    """The equity jumps: it is read again at once, and the second reading is as before."""
    before = list(fund.said)
    amounts = iter(["29000", "290"])

    async def wrong_once() -> Equity:
        return Equity(Decimal(next(amounts)), "USDT", datetime.now(UTC))

    fund.vault.misbehave = wrong_once
    await fund.look()
    assert next(amounts, None) is None
    assert (fund.status, fund.said) == (fund.begin, before)


async def test_nothing_is_said_when_a_position_reads_zero_once(fund: Fund) -> None:
    """The equity falls by less than a jump, but to a target that the low reserve would meet."""
    before = list(fund.said)
    amounts = iter(["0", "290"])

    async def wrong_once() -> Equity:
        return Equity(Decimal(next(amounts)), "USDT", datetime.now(UTC))

    fund.vault.misbehave = wrong_once
    await fund.look()
    assert (fund.status, fund.said) == (fund.begin, before)
    fund.vault.misbehave, fund.vault.amount = None, 0
    await fund.look(2)
    assert fund.status is ADEQUATE, "twice the same is true"


async def test_fall_of_the_price_is_believed_when_both_sources_tell_it(fund: Fund) -> None:
    """A real fall: the equity is less, and so is the target."""
    fund.ether.answers(2000)
    fund.market.values["ETH/USDT"] = 2010
    fund.vault.amount = 190
    await fund.look()
    snapshot = fund.manager.latest_snapshot("fund")
    assert snapshot is not None
    assert snapshot.total_equity == PAYABLE[fund.begin] + 400 + 190
    assert fund.status is ADEQUATE
