"""The `ccxt` price source against exchanges on loopback that behave like the real ones."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import FailureReason, Price, SourceError
from reservd.plugin.testing import PriceSourceContract
from reservd_ccxt import registry
from reservd_ccxt.price import CcxtPriceSource
from reservd_ccxt.ticker import to_price, value_of
from support.exchange_server import KEY, ExchangeServer
from support.exchanges import Binance, Kraken

Build = Callable[..., Any]
MARKETS = {"ETH/USDT": {"symbol": "ETH/USDT"}}


def options(server: ExchangeServer, **more: Any) -> dict[str, Any]:
    return {
        "exchange": server.exchange,
        "urls": {"default": server.url},
        "rate_limit_ms": 1,
        "timeout": 60,
        "markets": MARKETS,
        **more,
    }


@pytest.fixture
async def binance() -> AsyncIterator[Binance]:
    async with Binance() as server:
        server.tickers["ETH/USDT"] = ("2999.5", "3000.5", "3010")
        yield server


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    """Its tickers have no time."""
    async with Kraken() as server:
        server.tickers["ETH/USDT"] = ("2999.5", "3000.5", "3010")
        yield server


class TestCcxtPriceSource(PriceSourceContract):
    plugin_class = CcxtPriceSource

    @pytest.fixture
    def options(self, binance: Binance) -> dict[str, Any]:
        return options(binance)


async def price_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USDT") -> Price:
    async with build(CcxtPriceSource, settings) as source:
        price: Price = await source.fetch_price(base, quote)
    return price


async def failure_of(build: Build, settings: dict[str, Any], base: str = "ETH", quote: str = "USDT") -> SourceError:
    with pytest.raises(SourceError) as failure:
        await price_of(build, settings, base, quote)
    for hidden in ("http:", "127.0.0.1"):
        assert hidden not in str(failure.value)
    return failure.value


@pytest.mark.parametrize(("of", "value"), [("mid", "3000"), ("last", "3010")])
async def test_price_is_the_number_that_is_chosen(build: Build, binance: Binance, of: str, value: str) -> None:
    assert (await price_of(build, options(binance, price=of))).value == Decimal(value)


async def test_price_is_exact_and_of_the_tickers_time(build: Build, binance: Binance) -> None:
    binance.tickers["ETH/USDT"] = ("0.123456789012345678", "0.123456789012345680", "1")
    binance.ticker_age_ms = 90_000
    before = datetime.now(UTC) - timedelta(seconds=90.1)
    price = await price_of(build, options(binance))
    assert price.value == Decimal("0.123456789012345679")
    assert before <= price.observed_at <= datetime.now(UTC) - timedelta(seconds=89.9)


async def test_price_is_turned_round_when_the_market_is(build: Build, binance: Binance) -> None:
    settings = options(binance, markets={"USDT/ETH": {"symbol": "ETH/USDT", "inverse": True}})
    price = await price_of(build, settings, "USDT", "ETH")
    assert price.value == pytest.approx(Decimal(1) / 3000, rel=Decimal("1e-27"))


async def test_middle_is_of_the_request_when_the_ticker_tells_no_time(build: Build, kraken: Kraken) -> None:
    before = datetime.now(UTC)
    price = await price_of(build, options(kraken))
    assert price.value == 3000
    assert before <= price.observed_at <= datetime.now(UTC)


async def test_last_trade_is_refused_when_the_ticker_tells_no_time(build: Build, kraken: Kraken) -> None:
    """It may be a week old."""
    error = await failure_of(build, options(kraken, price="last"))
    assert (error.reason, error.detail) == (
        FailureReason.INVALID_DATA,
        "ETH/USDT: the exchange does not report when the last trade was",
    )


@pytest.mark.parametrize(
    ("ticker", "why"),
    [
        (("0", "3000", "3000"), "bid"),
        (("", "3000", "3000"), "the ticker has no bid"),
        (("3000", "", "3000"), "the ticker has no ask"),
        (("-1", "3000", "3000"), "bid is not above 0"),
        (("3001", "3000", "3000"), "bid is above ask"),
        (("2900", "3100", "3000"), "bid and ask are 0.0667 of the price apart, max_spread is less"),
        (("NaN", "3100", "3000"), "bid is not a valid number"),
        (("1e70", "1e70", "3000"), "bid is not a valid number"),
    ],
)
async def test_price_is_refused_when_the_book_cannot_be_believed(
    build: Build, binance: Binance, ticker: tuple[str, str, str], why: str
) -> None:
    binance.tickers["ETH/USDT"] = ticker
    error = await failure_of(build, options(binance))
    assert error.reason is FailureReason.INVALID_DATA
    assert why in error.detail


async def test_wide_book_is_believed_when_the_option_allows_it(build: Build, binance: Binance) -> None:
    binance.tickers["ETH/USDT"] = ("2900", "3100", "3000")
    assert (await price_of(build, options(binance, max_spread="0.1"))).value == 3000


async def test_price_keeps_its_digits_when_the_exchange_sends_json_numbers(build: Build, binance: Binance) -> None:
    number = "1234567890123456789.123456789012345678"
    body = f'{{"symbol": "ETHUSDT", "bidPrice": {number}, "askPrice": {number}, "closeTime": {binance.now_ms()}}}'
    binance.answer("/ticker/24hr", body)
    assert (await price_of(build, options(binance))).value == Decimal(number)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (503, "down for maintenance", FailureReason.REJECTED),
        (429, "{}", FailureReason.RATE_LIMITED),
        (200, "<html>maintenance</html>", FailureReason.INVALID_DATA),
        (200, "{}", FailureReason.INVALID_DATA),
        (200, "[]", FailureReason.INVALID_DATA),
        (200, "null", FailureReason.INVALID_DATA),
        (200, '{"symbol": "ETHUSDT", "bidPrice": "1", "askPrice": "1", "closeTime": 17}', FailureReason.INVALID_DATA),
    ],
)
async def test_price_fails_when_the_answer_is_no_ticker(
    build: Build, binance: Binance, status: int, body: str, reason: FailureReason
) -> None:
    binance.answer("/ticker/24hr", body, status)
    assert (await failure_of(build, options(binance))).reason is reason


async def test_price_fails_when_the_exchange_does_not_list_the_market(build: Build, binance: Binance) -> None:
    settings = options(binance, markets={"DOGE/USDT": {"symbol": "DOGE/USDT"}})
    error = await failure_of(build, settings, "DOGE")
    assert (error.reason, error.detail) == (FailureReason.INVALID_DATA, "DOGE/USDT: binance: BadSymbol")


async def test_price_fails_when_the_pair_is_not_configured(build: Build, binance: Binance) -> None:
    assert (await failure_of(build, options(binance), "BTC")).detail == "markets does not have BTC/USDT"


async def test_price_fails_when_the_source_is_not_open(build: Build, binance: Binance) -> None:
    with pytest.raises(SourceError, match="not open"):
        await build(CcxtPriceSource, options(binance)).fetch_price("ETH", "USDT")


async def test_price_fails_when_there_is_no_sandbox(build: Build, kraken: Kraken) -> None:
    error = await failure_of(build, options(kraken, sandbox=True))
    assert (error.reason, error.detail) == (FailureReason.REJECTED, "kraken has no sandbox")


async def test_no_key_is_sent_and_markets_are_asked_for_once(build: Build, binance: Binance) -> None:
    async with build(CcxtPriceSource, options(binance)) as source:
        for _ in range(3):
            await source.fetch_price("ETH", "USDT")
    assert binance.calls.count("/api/v3/exchangeInfo") == 1
    assert binance.calls.count("/api/v3/ticker/24hr") == 3
    assert not [call for call in binance.calls if "sapi" in call or "account" in call]


async def test_sources_of_one_exchange_share_its_limits_and_sources_with_a_key_do_not_join_them(
    build: Build, binance: Binance
) -> None:
    first, second = (build(CcxtPriceSource, options(binance), name=name) for name in "ab")
    async with first, second:
        await first.fetch_price("ETH", "USDT")
        await second.fetch_price("ETH", "USDT")
        assert list(registry._in_use) == [("binance", "")]
        assert KEY not in str(registry._in_use)
    assert not registry._in_use
    assert binance.calls.count("/api/v3/exchangeInfo") == 1


async def test_price_fails_when_another_source_asks_the_exchange_in_another_way(build: Build, binance: Binance) -> None:
    async with build(CcxtPriceSource, options(binance)):
        with pytest.raises(SourceError, match="another source uses this exchange with other urls"):
            await build(CcxtPriceSource, options(binance, sandbox=True)).__aenter__()


@pytest.mark.parametrize(
    "change",
    [
        {"markets": {}},
        {"markets": {"ETHUSDT": {"symbol": "ETH/USDT"}}},
        {"markets": {"ETH/USDT": {}}},
        {"price": "open"},
        {"max_spread": "0"},
        {"max_spread": "1.1"},
        {"api_key": "key"},
        {"exchange": "binnace"},
    ],
)
def test_options_are_refused_when_they_do_not_hold(build: Build, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        build(CcxtPriceSource, {"exchange": "binance", "markets": MARKETS, **change})


@pytest.mark.parametrize(
    ("ticker", "why"),
    [({"last": 3000.5}, "last came as float, which may have lost digits"), ({"last": "0"}, "last is not above 0")],
)
def test_number_is_refused_when_it_is_not_exact_text(ticker: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceError) as failure:
        value_of(ticker, "last", Decimal("0.01"))
    assert failure.value.detail == why


def test_price_is_refused_when_it_has_too_many_decimals_once_turned_round() -> None:
    with pytest.raises(SourceError, match="beyond belief"):
        to_price("A", "B", Decimal("3e59"), datetime.now(UTC), inverse=True)
