"""The `chainlink` price source on a real node with feeds that misbehave on demand."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import FailureReason, Price, SourceError
from reservd.plugin.testing import PriceSourceContract
from reservd_chainlink.source import ChainlinkPriceSource
from support.chain import Anvil
from support.feeds import Feed
from support.proxy import RpcProxy

Build = Callable[..., Any]
NOTHING = f"0x{0xDEF1_0000:040x}"


def options(chain: Anvil, **feeds: dict[str, object]) -> dict[str, Any]:
    """Return options with feeds by their pair; `ETH_USD` stands for `ETH/USD`."""
    named = {name.replace("_", "/"): feed for name, feed in feeds.items()}
    return {"rpc_url": chain.url, "chain_id": 31337, "timeout": 30, "feeds": named}


async def price_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USD") -> Price:
    async with build(ChainlinkPriceSource, settings) as source:
        price: Price = await source.fetch_price(base, quote)
    return price


async def failure_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USD") -> SourceError:
    with pytest.raises(SourceError) as failure:
        await price_of(build, settings, base, quote)
    return failure.value


@pytest.fixture
def feed(chain: Anvil) -> Feed:
    """ETH/USD, without an answer yet."""
    return Feed(chain)


class TestChainlinkPriceSource(PriceSourceContract):
    plugin_class = ChainlinkPriceSource

    @pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
    def options(self, request: pytest.FixtureRequest, chain: Anvil) -> dict[str, Any]:
        ether, tether = Feed(chain), Feed(chain, "USDT / USD")
        ether.answers(3000)
        tether.answers(1)
        if request.param:
            chain.install_multicall()
        settings = options(chain, ETH_USD=ether.options(), USDT_USD=tether.options())
        return {**settings, "pairs": {"ETH/USDT": ["ETH/USD", "USDT/USD"]}}


@pytest.mark.parametrize(
    ("decimals", "value"), [(8, "3012.34567891"), (18, "0.000000000123456789"), (0, "5"), (8, "123456789012.00000001")]
)
async def test_price_is_the_answer_in_whole_units(build: Build, chain: Anvil, decimals: int, value: str) -> None:
    feed = Feed(chain, decimals=decimals)
    feed.answers(value)
    price = await price_of(build, options(chain, ETH_USD=feed.options()))
    assert price.value == Decimal(value)
    assert price.observed_at == datetime.fromtimestamp(feed.now(), UTC)


async def test_pairs_are_made_of_feeds_in_either_direction(build: Build, chain: Anvil) -> None:
    staked, ether, tether = Feed(chain, "STETH / ETH", 18), Feed(chain), Feed(chain, "USDT / USD")
    for feed, value in ((staked, "0.999"), (ether, 3000), (tether, "0.96")):
        feed.answers(value)
    settings = options(chain, ETH_USD=ether.options(), USDT_USD=tether.options(), stETH_ETH=staked.options())
    settings["pairs"] = {
        "USD/ETH": ["ETH/USD"],
        "ETH/USDT": ["ETH/USD", "USDT/USD"],
        "USDT/ETH": ["USDT/USD", "ETH/USD"],
        "stETH/USDT": ["stETH/ETH", "ETH/USD", "USDT/USD"],
    }
    async with build(ChainlinkPriceSource, settings) as source:
        prices = {pair: await source.fetch_price(*pair.split("/")) for pair in settings["pairs"]}
    assert {pair: price.value for pair, price in prices.items()} == {
        "USD/ETH": pytest.approx(Decimal(1) / 3000, rel=Decimal("1e-27")),
        "ETH/USDT": Decimal(3125),
        "USDT/ETH": Decimal("0.00032"),
        "stETH/USDT": Decimal("3121.875"),
    }


@pytest.mark.parametrize(
    ("spoiled", "why"),
    [
        ({"value": 0}, "not above 0"),
        ({"value": -3000}, "not above 0"),
        ({"ago": 3_700}, "older than the heartbeat of 3600 s"),
        ({"updated_at": 0}, "the round is not complete"),
        ({"id": 5, "answered_in": 4}, "of an earlier round"),
        ({"updated_at": 9_999_999_999}, "of a time after its block"),
        ({"updated_at": 2**256 - 1}, "of a time after its block"),
        ({"value": 10**62}, "must be below 1e60"),
        ({"value": 900}, "is below the minimum of 1000"),
        ({"value": 9001}, "is above the maximum of 9000"),
    ],
)
async def test_price_is_refused_when_the_round_cannot_be_believed(
    build: Build, chain: Anvil, feed: Feed, spoiled: dict[str, Any], why: str
) -> None:
    feed.answered(**{"value": 3000, **spoiled})
    feeds = {"ETH_USD": feed.options(minimum=1000, maximum=None if "1e60" in why else 9000)}
    error = await failure_of(build, options(chain, **feeds))
    assert error.reason is FailureReason.INVALID_DATA
    assert error.detail.startswith("ETH/USD: ")
    assert why in error.detail


@pytest.mark.parametrize(("slack", "believed"), [(0, False), (200, True)])
async def test_answer_may_come_a_little_after_its_heartbeat(
    build: Build, chain: Anvil, feed: Feed, slack: int, believed: bool
) -> None:
    feed.answered(3000, ago=3_700)
    settings = {**options(chain, ETH_USD=feed.options(3600)), "heartbeat_slack": slack}
    if believed:
        assert (await price_of(build, settings)).value == 3000
    else:
        assert "older than the heartbeat" in (await failure_of(build, settings)).detail


async def test_price_is_refused_when_the_address_is_of_another_feed(build: Build, chain: Anvil) -> None:
    """With a wrong address, all ether could be valued at the price of bitcoin."""
    feed = Feed(chain, "BTC / USD")
    feed.answers(100_000)
    error = await failure_of(build, options(chain, ETH_USD=feed.options()))
    assert error.detail == "ETH/USD: description(): the feed calls itself 'BTC / USD'"
    settings = options(chain, ETH_USD=feed.options(description="btc/usd"))
    assert (await price_of(build, settings)).value == 100_000


async def test_price_is_refused_when_nothing_is_at_the_address(build: Build, chain: Anvil, feed: Feed) -> None:
    feed.answers(3000)
    error = await failure_of(build, options(chain, ETH_USD={"address": NOTHING, "heartbeat": 3600}))
    assert (error.reason, error.detail.partition("(")[0]) == (FailureReason.INVALID_DATA, "ETH/USD: description")


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_other_pairs_are_told_when_one_feed_has_no_answer(
    build: Build, chain: Anvil, feed: Feed, multicall: bool
) -> None:
    if multicall:
        chain.install_multicall()
    other = Feed(chain, "BTC / USD")
    other.answers(100_000)
    settings = options(chain, ETH_USD=feed.options(), BTC_USD=other.options())
    assert (await price_of(build, settings, "BTC")).value == 100_000
    assert (await failure_of(build, settings)).reason is FailureReason.REJECTED


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"value": 1, "started_ago": 86_400}, "sequencer: it is down"),
        ({"value": 0, "started_ago": 60}, "s only, grace_period is 3600"),
        ({"value": 0, "started_at": 0}, "does not report since when"),
        ({"value": 0, "started_at": 9_999_999_999}, "does not report since when"),
        ({"value": -1, "started_ago": 86_400}, "sequencer: it is down"),
    ],
)
async def test_price_is_refused_when_the_sequencer_is_not_surely_up(
    build: Build, chain: Anvil, feed: Feed, status: dict[str, Any], why: str
) -> None:
    uptime = Feed(chain, "L2 Sequencer Uptime Status Feed", 0)
    feed.answers(3000)
    uptime.answered(**status)
    settings = {**options(chain, ETH_USD=feed.options(86_400)), "sequencer": {"address": uptime.address}}
    error = await failure_of(build, settings)
    assert error.reason is FailureReason.INVALID_DATA
    assert why in error.detail


async def test_price_is_told_when_the_sequencer_is_up_for_long_enough(build: Build, chain: Anvil, feed: Feed) -> None:
    uptime = Feed(chain, "L2 Sequencer Uptime Status Feed", 0)
    feed.answers(3000)
    uptime.answered(0, started_ago=3_700)
    settings = {**options(chain, ETH_USD=feed.options()), "sequencer": {"address": uptime.address}}
    assert (await price_of(build, settings)).value == 3000


async def test_price_is_refused_when_the_sequencer_cannot_be_read(build: Build, chain: Anvil, feed: Feed) -> None:
    feed.answers(3000)
    settings = {**options(chain, ETH_USD=feed.options()), "sequencer": {"address": NOTHING}}
    assert (await failure_of(build, settings)).detail.startswith("sequencer: latestRoundData()")


async def test_feeds_are_read_once_when_several_pairs_are_asked_for_at_once(
    build: Build, chain: Anvil, proxy: RpcProxy
) -> None:
    chain.install_multicall()
    names = [f"A{number}" for number in range(20)]
    feeds = {}
    for name in names:
        feed = Feed(chain, f"{name} / USD")
        feed.answers(5)
        feeds[f"{name}_USD"] = feed.options()
    settings = {**options(chain, **feeds), "rpc_url": proxy.url}
    async with build(ChainlinkPriceSource, settings) as source:
        prices = await asyncio.gather(*(source.fetch_price(name, "USD") for name in names))
        assert len(proxy.requests) == 2  # the first one checks for Multicall3
        await source.fetch_price("A1", "USD")
        assert len(proxy.requests) == 3
    assert {price.value for price in prices} == {Decimal(5)}
    assert len({price.observed_at for price in prices}) == 1


async def test_reading_goes_on_for_the_others_when_one_gives_up(
    build: Build, chain: Anvil, feed: Feed, proxy: RpcProxy
) -> None:
    feed.answers(3000)
    proxy.hang()
    async with build(ChainlinkPriceSource, {**options(chain, ETH_USD=feed.options()), "rpc_url": proxy.url}) as source:
        first, second = (asyncio.create_task(source.fetch_price("ETH", "USD")) for _ in range(2))
        async with asyncio.timeout(20):
            while not proxy.requests:
                await asyncio.sleep(0.01)
        first.cancel()
        proxy.heal()
        assert (await second).value == 3000
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_closing_ends_what_is_being_read(build: Build, chain: Anvil, feed: Feed, proxy: RpcProxy) -> None:
    proxy.hang()
    source = build(ChainlinkPriceSource, {**options(chain, ETH_USD=feed.options()), "rpc_url": proxy.url})
    async with source:
        asked = asyncio.create_task(source.fetch_price("ETH", "USD"))
        async with asyncio.timeout(20):
            while not proxy.requests:
                await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asked


async def test_price_fails_when_the_node_cannot_be_reached(build: Build, chain: Anvil, feed: Feed) -> None:
    chain.stop()
    assert (await failure_of(build, options(chain, ETH_USD=feed.options()))).reason is FailureReason.UNREACHABLE


async def test_price_fails_when_the_pair_is_not_configured(build: Build, chain: Anvil, feed: Feed) -> None:
    feed.answers(3000)
    settings = options(chain, ETH_USD=feed.options())
    assert (await failure_of(build, settings, "USD", "ETH")).detail == "neither feeds nor pairs have USD/ETH"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"pairs": {"ETH/USDT": ["ETH/USD"]}}, "ETH/USDT: the feeds lead to USD, not to USDT"),
        ({"pairs": {"BTC/USDT": ["ETH/USD"]}}, "feed ETH/USD does not lead on from BTC"),
        ({"pairs": {"ETH/USDT": ["ETH/USD", "USDT/USD"]}}, "must name feeds only, USDT/USD is none"),
        ({"pairs": {"ETH/USD": ["ETH/USD"]}}, "must not name ETH/USD, which is a feed"),
        ({"pairs": {"ETHUSDT": ["ETH/USD"]}}, "pairs"),
        ({"feeds": {"ETHUSD": {"address": NOTHING, "heartbeat": 60}}}, "feeds"),
        ({"feeds": {"ETH/USD": {"address": NOTHING, "heartbeat": 60, "minimum": 2, "maximum": 1}}}, "minimum must not"),
        ({"feeds": {"ETH/USD": {"address": NOTHING}}}, "heartbeat"),
        ({"feeds": {"ETH/USD": {"address": NOTHING, "heartbeat": True}}}, "heartbeat"),
        ({"feeds": {}}, "feeds"),
    ],
)
def test_options_are_refused_when_they_lead_nowhere(build: Build, change: dict[str, Any], rule: str) -> None:
    feeds = {"ETH/USD": {"address": NOTHING, "heartbeat": 3600}}
    with pytest.raises(ValidationError, match=rule):
        build(ChainlinkPriceSource, {"rpc_url": "http://127.0.0.1:1", "chain_id": 1, "feeds": feeds} | change)
