"""Positions on a real Aave market: their value less debts, at prices that are recent enough."""

from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from reservd.plugin import FailureReason, SourceError
from reservd.plugin.testing import EquitySourceContract
from reservd_aave_v3.equity import AaveV3EquitySource
from support.chain import Anvil
from support.feeds import Feed
from support.lending import HOLDER, LENDER, OTHER, TIMELESS, USDC, WETH, Build, Market, equity_of
from support.solidity import ask, compiled


@pytest.fixture
def market(chain: Anvil) -> Market:
    return Market(chain)


class TestAaveV3EquitySource(EquitySourceContract):
    plugin_class = AaveV3EquitySource
    currency = "USDC"

    @pytest.fixture
    def options(self, market: Market) -> dict[str, Any]:
        market.supply(HOLDER, market.weth, 10 * WETH)
        market.borrow(HOLDER, market.usdc, 5000 * USDC)
        return market.options(convert=True, feeds=TIMELESS)


async def test_equity_is_net_of_variable_and_stable_debt(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.usdc, 40_000 * USDC)
    market.supply(OTHER, market.usdc, 500 * USDC)
    market.borrow(HOLDER, market.usdc, 10_000 * USDC)
    options = market.options(accounts={"main": HOLDER, "other": OTHER})
    assert await equity_of(build, options) == pytest.approx(30_500, abs=Decimal("0.1"))
    market.supply(HOLDER, market.weth, 20 * WETH)
    market.does(HOLDER, "setUserUseReserveAsCollateral(address,bool)", market.usdc, False)
    market.borrow(HOLDER, market.usdc, 5000 * USDC, stable=True)
    assert await equity_of(build, options) == pytest.approx(25_500, abs=Decimal("0.1"))


async def test_equity_has_every_account_and_reserve_when_others_are_converted(build: Build, market: Market) -> None:
    """At the prices of the pool's oracle, in either currency."""
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.supply(OTHER, market.usdc, 500 * USDC)
    market.borrow(HOLDER, market.usdc, 5000 * USDC)
    options = market.options(accounts={"main": HOLDER, "other": OTHER}, convert=True, feeds=TIMELESS)
    assert await equity_of(build, options) == pytest.approx(15_500, abs=Decimal("0.1"))
    assert await equity_of(build, options, "WETH") == pytest.approx(Decimal("7.75"), abs=Decimal("0.0001"))
    market.set_price(market.weth, 3000 * 10**8)
    market.set_price(market.usdc, 99_000_000)
    async with build(AaveV3EquitySource, options) as source:
        equity = await source.fetch_equity("USDC", "USDC")
    assert equity.components["main/WETH"] == Decimal("30303.030303")
    assert equity.components["main/USDC"] == pytest.approx(-5000, abs=Decimal("0.1"))
    assert equity.components["other/WETH"] == 0


async def test_equity_is_negative_when_debt_is_more_than_supplies(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 5000 * USDC)
    assert await equity_of(build, market.options()) == pytest.approx(-5000, abs=Decimal("0.1"))


@pytest.mark.parametrize(("convert", "reserves"), [(False, ["WETH", "USDC"]), (False, ["WETH"]), (True, ["WETH"])])
async def test_equity_fails_when_a_debt_is_not_counted(
    build: Build, market: Market, convert: bool, reserves: list[str]
) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 5000 * USDC)
    tokens = {"USDC": market.usdc, "WETH": market.weth}
    options = market.options(convert=convert, reserves={name: tokens[name] for name in reserves})
    with pytest.raises(SourceError, match="main owes of a reserve that is not counted") as failed:
        await equity_of(build, options, "WETH")
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_equity_leaves_other_supplies_out_when_nothing_is_converted(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.supply(HOLDER, market.usdc, 7 * USDC)
    assert await equity_of(build, market.options()) == 7


async def test_equity_fails_when_it_cannot_be_converted(build: Build, market: Market) -> None:
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.set_price(market.weth, 0)
    with pytest.raises(SourceError, match="the oracle has no price") as failed:
        await equity_of(build, market.options(convert=True, feeds=TIMELESS))
    assert failed.value.reason is FailureReason.INVALID_DATA
    assert await equity_of(build, market.options(convert=True, feeds=TIMELESS), "WETH") == 10


class Feeds(NamedTuple):
    """The feeds of a market's oracle, and the options of an equity source that reads them."""

    usdc: Feed
    weth: Feed
    options: dict[str, Any]


@pytest.fixture
def feeds(chain: Anvil, market: Market) -> Feeds:
    """A market whose oracle reads feeds with heartbeats of an hour and a day: HOLDER has 10 ether and owes 5,000
    dollars.
    """
    usdc, weth = Feed(chain, "USDC / USD"), Feed(chain)
    usdc.answers(1)
    weth.answers(2000)
    market.reads_feeds(**{market.usdc: usdc.address, market.weth: weth.address})
    market.supply(HOLDER, market.weth, 10 * WETH)
    market.borrow(HOLDER, market.usdc, 5000 * USDC)
    promised = {"USDC": {"heartbeat": 86400}, "WETH": {"heartbeat": 3600}}
    return Feeds(usdc, weth, market.options(convert=True, feeds=promised))


async def test_equity_is_converted_at_prices_of_feeds_that_keep_their_promise(build: Build, feeds: Feeds) -> None:
    assert await equity_of(build, feeds.options) == pytest.approx(15_000, abs=Decimal("0.1"))
    feeds.usdc.answered(1, ago=86400 + 30)  # the transaction takes some time
    feeds.weth.answered(3000, ago=3600 + 30)
    assert await equity_of(build, feeds.options) == pytest.approx(25_000, abs=Decimal("0.1"))


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
@pytest.mark.parametrize("currency", ["USDC", "WETH"])
@pytest.mark.parametrize(("asset", "late"), [("USDC", 86400 + 120), ("WETH", 3600 + 120)])
async def test_equity_fails_when_a_price_is_older_than_its_feed_promised(
    build: Build, chain: Anvil, feeds: Feeds, multicall: bool, currency: str, asset: str, late: int
) -> None:
    """The oracle still returns it; it counts again once the feed has answered."""
    if multicall:
        chain.install_multicall()
    feed, price = (feeds.usdc, 1) if asset == "USDC" else (feeds.weth, 2000)
    feed.answered(price, ago=late)
    with pytest.raises(SourceError, match=rf"the price of {asset}: .*older than the heartbeat") as failed:
        await equity_of(build, feeds.options, currency)
    assert failed.value.reason is FailureReason.INVALID_DATA
    feed.answers(price)
    assert await equity_of(build, feeds.options, currency) > 0


@pytest.mark.parametrize(
    ("spoilt", "why"),
    [
        ({"updated_at": 0}, "not complete"),
        ({"ago": -60}, "of a time after its block"),
        ({"id": 7, "answered_in": 6}, "of an earlier round"),
    ],
)
async def test_equity_fails_when_a_feed_cannot_be_believed(
    build: Build, feeds: Feeds, spoilt: dict[str, int], why: str
) -> None:
    feeds.weth.answered(2000, **spoilt)
    with pytest.raises(SourceError, match=f"the price of WETH: .*{why}"):
        await equity_of(build, feeds.options)


async def test_equity_fails_when_the_oracle_fell_back_to_another_price(
    build: Build, market: Market, feeds: Feeds
) -> None:
    """If a feed answers 0, Aave's oracle asks another oracle, whose prices have no known age."""
    feeds.weth.answered(0)
    assert ask(market.chain, market.oracle, "getAssetPrice(address)", market.weth) > 0
    with pytest.raises(SourceError, match=r"the price of WETH: .*not above 0"):
        await equity_of(build, feeds.options)


async def test_equity_fails_when_a_price_has_no_feed(build: Build, market: Market, feeds: Feeds) -> None:
    market.reads_feeds(**{market.usdc: feeds.usdc.address})
    with pytest.raises(SourceError, match=r"the price of WETH: .*from no feed"):
        await equity_of(build, feeds.options)


async def test_age_is_asked_of_the_feed_behind_an_adapter(build: Build, market: Market, feeds: Feeds) -> None:
    adapter = market.chain.deploy(compiled("Feeds.sol", "Adapter"), feeds.weth.address)
    market.reads_feeds(**{market.usdc: feeds.usdc.address, market.weth: adapter})
    with pytest.raises(SourceError, match=r"the price of WETH: latestRoundData\(\)") as failed:
        await equity_of(build, feeds.options)
    assert failed.value.reason is FailureReason.REJECTED
    behind = {**feeds.options["feeds"], "WETH": {"heartbeat": 3600, "address": feeds.weth.address}}
    options = {**feeds.options, "feeds": behind}
    assert await equity_of(build, options) == pytest.approx(15_000, abs=Decimal("0.1"))
    feeds.weth.answered(2000, ago=3600 + 120)
    with pytest.raises(SourceError, match=r"the price of WETH: .*older than the heartbeat"):
        await equity_of(build, options)


async def test_price_that_is_not_needed_may_be_of_any_age(build: Build, feeds: Feeds) -> None:
    feeds.weth.answered(2000, ago=3600 + 120)
    assert await equity_of(build, {**feeds.options, "accounts": {"lender": LENDER}}) >= 1_000_000


async def test_equity_fails_when_no_reserve_is_in_the_share_class(build: Build, market: Market) -> None:
    with pytest.raises(SourceError, match="no reserve is in DAI"):
        await equity_of(build, market.options(), "DAI")


@pytest.mark.parametrize(
    ("feeds", "rule"),
    [
        ({}, "feeds must name USDC, to be converted"),
        ({"USDC": None}, "feeds must name WETH, to be converted"),
        ({**TIMELESS, "DAI": {"heartbeat": 3600}}, "feeds must name reserves only, DAI is none"),
    ],
)
async def test_feeds_are_refused_when_a_price_could_be_of_any_age(
    build: Build, market: Market, feeds: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ValidationError, match=rule):
        build(AaveV3EquitySource, market.options(convert=True, feeds=feeds))
