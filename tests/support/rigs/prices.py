"""Price sources for ether: exchanges, a JSON endpoint and a feed on a chain."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from reservd_ccxt.price import CcxtPriceSource
from reservd_chainlink.source import ChainlinkPriceSource
from reservd_http_json.price import HttpJsonPriceSource
from support.exchange_server import ExchangeServer
from support.exchanges import Binance, Kraken
from support.feeds import Feed
from support.rigs.chains import ChainRig
from support.rigs.rig import HttpRig, TellingRig, as_json

BASE, QUOTE, PRICE = "ETH", "USDC", 3000
FEED_UNIT = 10**8
_UNTRUE = ("tells NaN", "tells null", "tells text", "tells zero", "tells a negative number")
_OLD_OR_AHEAD = ("tells an old number", "tells a number from the future")


class PriceRig(HttpRig):
    """A source of one price."""

    def tells_ten_times_too_much_once(self) -> None:
        """Report ten times the price in the next reading only."""
        raise NotImplementedError


class HttpJsonPrice(PriceRig, TellingRig):
    FAULTS = (*HttpRig.FAULTS, *_UNTRUE, *_OLD_OR_AHEAD, "lacks the price")

    async def target(self) -> str:
        return ""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.heal()
        return self

    def make(self) -> Any:
        url = f"{self.front.url}/{{base}}/{{quote}}"
        return self.build(HttpJsonPriceSource, url=url, value="$.price", observed_at="$.at")

    async def heal(self) -> None:
        """There is no server behind the front: it gives the answer itself."""
        await super().heal()
        self.tells(str(PRICE))

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        self.front.answers(200, self._page(f'"price": {as_json(number)}, ', off))

    def _page(self, told: str, off: timedelta = timedelta()) -> str:
        return f'{{{told}"at": "{(datetime.now(UTC) + off).isoformat()}"}}'

    def tells_ten_times_too_much_once(self) -> None:
        self.tells(str(PRICE), timedelta(seconds=1))
        self.front.answers_once(200, self._page(f'"price": {10 * PRICE}, '))

    def lacks_the_price(self) -> None:
        self.front.answers(200, self._page(""))


class CcxtPrice(PriceRig, TellingRig):
    """The mean of bid and ask, on an exchange that reports the time of its tickers."""

    FAULTS = (*HttpRig.FAULTS, *_UNTRUE, *_OLD_OR_AHEAD, "tells bids and asks far apart", "tells of another market")
    EXCHANGE: ClassVar[type[ExchangeServer]] = Binance
    TICKER: ClassVar[str] = "/api/v3/ticker/24hr"
    OF_ANOTHER: ClassVar[Any] = {"symbol": "USDTUSDC", "bidPrice": "1", "askPrice": "1", "lastPrice": "1"}
    _ten_times_once = False

    async def target(self) -> str:
        self.exchange = await self.EXCHANGE().__aenter__()
        self.exchange.tickers["USDT/USDC"] = ("1", "1", "1")
        self.tells(str(PRICE))
        return self.exchange.url

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.exchange.__aexit__(None, None, None)

    def make(self) -> Any:
        market = {"symbol": f"{BASE}/{QUOTE}"}
        options = {"exchange": self.exchange.exchange, "rate_limit_ms": 1, "timeout": self.timeout_seconds}
        markets = {f"{BASE}/{QUOTE}": market}
        return self.build(CcxtPriceSource, urls={"default": self.front.url}, markets=markets, **options)

    async def heal(self) -> None:
        await super().heal()
        self.exchange.heal()
        self.exchange.ticker_age_ms = self.exchange.clock_ahead_ms = 0
        self.tells(str(PRICE))

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        assert not off, "the exchange dates its tickers itself"
        self._tells_of_book(number, number)

    def _tells_of_book(self, bid: str | None, ask: str | None) -> None:
        self.exchange.tickers[f"{BASE}/{QUOTE}"] = (bid, ask, bid)

    def tells_ten_times_too_much_once(self) -> None:
        self.tells(str(10 * PRICE))
        self._ten_times_once = True

    def was_read(self) -> None:
        if self._ten_times_once:
            self._ten_times_once = False
            self.tells(str(PRICE))

    def tells_bids_and_asks_far_apart(self) -> None:
        self._tells_of_book(str(PRICE // 2), str(2 * PRICE))

    def tells_of_another_market(self) -> None:
        self.exchange.answer(self.TICKER, json.dumps(self.OF_ANOTHER))

    def tells_an_old_number(self) -> None:
        self.exchange.ticker_age_ms = 3_600_000

    def tells_a_number_from_the_future(self) -> None:
        """As an exchange with a wrong clock does."""
        self.exchange.clock_ahead_ms = 3_600_000


class CcxtPriceWithoutTime(CcxtPrice):
    """The same, on an exchange that reports no time."""

    FAULTS = tuple(fault for fault in CcxtPrice.FAULTS if fault not in _OLD_OR_AHEAD)
    EXCHANGE = Kraken
    TICKER = "/0/public/Ticker"
    OF_ANOTHER: ClassVar[Any] = {"error": [], "result": {"USDTUSDC": {"a": ["1"], "b": ["1"], "c": ["1"]}}}


class ChainlinkPrice(ChainRig, PriceRig):
    FAULTS = (*ChainRig.FAULTS, *_OLD_OR_AHEAD, "tells zero", "tells a negative number")

    @property
    def contract(self) -> str:
        return self._feed.address

    @property
    def _feed(self) -> Feed:
        return self.servers.feed

    async def target(self) -> str:
        self._feed.answers(PRICE)
        return await super().target()

    def make(self) -> Any:
        return self.build(ChainlinkPriceSource, **self.endpoint, feeds={f"{BASE}/{QUOTE}": self._feed.options()})

    async def heal(self) -> None:
        await super().heal()
        self._feed.answers(PRICE)

    def tells_ten_times_too_much_once(self) -> None:
        self._mistakes(PRICE * FEED_UNIT, 10 * PRICE * FEED_UNIT, once=True)

    def tells_zero(self) -> None:
        self._feed.answers(0)

    def tells_a_negative_number(self) -> None:
        self._feed.answers(-PRICE)

    def tells_an_old_number(self) -> None:
        self._feed.answered(PRICE, ago=7_200)

    def tells_a_number_from_the_future(self) -> None:
        self._feed.answered(PRICE, ago=-3_600)
