"""The `ccxt` price source: the price of an asset on a market of an exchange."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, StringConstraints

from reservd.plugin import Amount, FailureReason, PluginConfig, Price, PriceSource, SourceError
from reservd_ccxt.client import Settings
from reservd_ccxt.config import ExchangeConfig, Name
from reservd_ccxt.errors import ExchangeError
from reservd_ccxt.exchange import SharedExchange
from reservd_ccxt.registry import acquire, release
from reservd_ccxt.ticker import PriceOf, time_of, to_price, value_of

Pair = Annotated[str, StringConstraints(pattern=r"^[^/\s]+/[^/\s]+$")]


class CcxtMarket(PluginConfig):
    """The market of a pair."""

    symbol: Name
    """The market's symbol in ccxt, such as ETH/USDT, or ETH/USDT:USDT for a perpetual swap."""
    inverse: bool = False
    """Whether the market quotes the pair the other way round."""


class CcxtPriceConfig(ExchangeConfig):
    """Options of the `ccxt` price source."""

    markets: Annotated[dict[Pair, CcxtMarket], Field(min_length=1)]
    """The available pairs, and the market of each: `ETH/USDT: {symbol: ETH/USDT}`."""
    price: PriceOf = "mid"
    """`mid`, the middle of bid and ask, or `last`, the price of the last trade."""
    max_spread: Annotated[Amount, Field(gt=0, le=1)] = Decimal("0.01")
    """The largest distance of bid and ask, as a part of their middle."""


class CcxtPriceSource(PriceSource[CcxtPriceConfig]):
    """Reads tickers without a key, one request per pair."""

    PLUGIN_NAME = "ccxt"
    Config = CcxtPriceConfig

    def __init__(self, name: str, config: CcxtPriceConfig) -> None:
        super().__init__(name, config)
        self._shared: SharedExchange | None = None

    async def __aenter__(self) -> Self:
        """Join the sources of the exchange. The first reading makes the first request."""
        if self._shared is None:
            self._shared = acquire(Settings.of(self.config), self.config.timeout)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Leave the exchange; its last source closes its connections."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await release(shared)

    async def fetch_price(self, base: str, quote: str) -> Price:
        """Return the price on the pair's market.

        Raises:
            SourceError: If the pair is not configured, the exchange does not answer or does not
                list the market, or the ticker is invalid.
        """
        pair = f"{base}/{quote}"
        market = self.config.markets.get(pair)
        if market is None:
            raise SourceError(FailureReason.INVALID_DATA, f"markets does not have {pair}")
        if self._shared is None:
            raise SourceError(FailureReason.INTERNAL, "the source is not open")
        await self._shared.ready()
        # Before the request: the answer may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        try:
            return self._price(base, quote, market, await self._shared.call("fetch_ticker", market.symbol), asked_at)
        except ExchangeError as error:
            raise SourceError(error.reason, f"{market.symbol}: {error.detail}") from None

    def _price(self, base: str, quote: str, market: CcxtMarket, ticker: object, asked_at: datetime) -> Price:
        if not isinstance(ticker, dict) or ticker.get("symbol") != market.symbol:
            raise ExchangeError(FailureReason.INVALID_DATA, "the answer is of another market")
        of = self.config.price
        value = value_of(ticker, of, self.config.max_spread)
        return to_price(base, quote, value, time_of(ticker, of, asked_at), inverse=market.inverse)
