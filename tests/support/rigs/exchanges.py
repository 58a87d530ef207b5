"""Balances on exchanges, each with its own answers for every fault."""

from datetime import timedelta
from typing import Any, ClassVar, NamedTuple

from reservd_ccxt.source import CcxtSource
from support.exchange_server import ExchangeServer
from support.exchanges import Binance, Bybit, Kraken, Okx
from support.rigs.rig import HttpRig, TellingRig

Answer = tuple[str, int]
"""A body and its status."""


class Words(NamedTuple):
    """How an exchange reports the balances of its main wallet.

    Attributes:
        wallet: The name of the wallet on the server.
        path: The path of its request.
        nothing: The answer for an account without balances.
        no_list: An answer without the list of balances.
        wrong_time: The refusal of a request with a wrong time.
        wrong_key: The refusal of a key.
        maintenance: The answer during maintenance.
    """

    wallet: str
    path: str
    nothing: str
    no_list: str
    wrong_time: Answer
    wrong_key: Answer
    maintenance: Answer


class Ccxt(HttpRig, TellingRig):
    """Binance."""

    FAULTS = (
        *HttpRig.FAULTS, "tells NaN", "tells null", "tells text", "lacks the list", "lacks the asset",
        "is refused for its time", "refuses the key", "is under maintenance",
    )  # fmt: skip
    EXCHANGE: ClassVar[type[ExchangeServer]] = Binance
    WORDS: ClassVar[Words] = Words(
        "spot",
        "/api/v3/account",
        nothing='{"balances": []}',
        no_list='{"accountType": "SPOT"}',
        wrong_time=('{"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}', 400),
        wrong_key=('{"code": -2015, "msg": "Invalid API-key, IP, or permissions."}', 401),
        maintenance=('{"code": 1, "msg": "System is under maintenance."}', 200),
    )

    async def target(self) -> str:
        self.exchange = await self.EXCHANGE().__aenter__()
        self.tells(str(self.amount))
        return self.exchange.url

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        await self.exchange.__aexit__(None, None, None)

    def make(self) -> Any:
        urls, accounts = {"default": self.front.url}, {"main": {"assets": ["USDC"]}}
        options = {**self.exchange.options, "urls": urls, "timeout": self.timeout_seconds, "accounts": accounts}
        return self.build(CcxtSource, **options)

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        assert not off, "exchanges report no time of a balance"
        self.exchange.wallets[self.WORDS.wallet] = {"USDC": (number, "0")}

    def _answers(self, answer: Answer) -> None:
        body, status = answer
        self.exchange.answer(self.WORDS.path, body, status)

    def tells_zero_once(self) -> None:
        self.front.answers_once(200, self.WORDS.nothing, asked=self.WORDS.path)

    def is_refused_for_its_time(self) -> None:
        """Also after the source has measured the exchange's clock."""
        self._answers(self.WORDS.wrong_time)

    def refuses_the_key(self) -> None:
        self._answers(self.WORDS.wrong_key)

    def is_under_maintenance(self) -> None:
        self._answers(self.WORDS.maintenance)

    def lacks_the_list(self) -> None:
        """The list of balances is missing; without it, all coins seem to be absent."""
        self._answers((self.WORDS.no_list, 200))

    def lacks_the_asset(self) -> None:
        """The asset is neither held nor listed, as after a delisting or during maintenance."""
        self.exchange.wallets[self.WORDS.wallet] = {"USDT": ("5", "0")}
        self.exchange.coins = {"USDT": True}

    async def heal(self) -> None:
        await super().heal()
        self.exchange.heal()
        self.exchange.coins = {"USDT": True, "USDC": True}
        self.tells(str(self.amount))


class CcxtOnBybit(Ccxt):
    """Bybit, which reports every error with status 200."""

    EXCHANGE = Bybit
    WORDS = Words(
        "trading",
        "/v5/account/wallet-balance",
        nothing='{"retCode": 0, "retMsg": "OK", "result": {"list": [{"accountType": "UNIFIED", "coin": []}]}}',
        no_list='{"retCode": 0, "retMsg": "OK", "result": {}}',
        wrong_time=('{"retCode": 10002, "retMsg": "invalid request, please check your server timestamp"}', 200),
        wrong_key=('{"retCode": 10003, "retMsg": "API key is invalid."}', 200),
        maintenance=('{"retCode": 10016, "retMsg": "System is under maintenance.", "result": {}}', 200),
    )


class CcxtOnOkx(Ccxt):
    """OKX, whose answers are nested lists."""

    EXCHANGE = Okx
    WORDS = Words(
        "trading",
        "/api/v5/account/balance",
        nothing='{"code": "0", "msg": "", "data": [{"details": []}]}',
        no_list='{"code": "0", "msg": "", "data": []}',
        wrong_time=('{"code": "50102", "msg": "Timestamp request expired", "data": []}', 401),
        wrong_key=('{"code": "50111", "msg": "Invalid OK-ACCESS-KEY", "data": []}', 401),
        maintenance=('{"code": "50001", "msg": "Service temporarily unavailable", "data": []}', 503),
    )


class CcxtOnKraken(Ccxt):
    """Kraken, which reports every error with status 200, and uses nonces instead of times."""

    EXCHANGE = Kraken
    WORDS = Words(
        "spot",
        "/0/private/BalanceEx",
        nothing='{"error": [], "result": {}}',
        no_list='{"error": []}',
        wrong_time=('{"error": ["EAPI:Invalid nonce"]}', 200),
        wrong_key=('{"error": ["EAPI:Invalid key"]}', 200),
        maintenance=('{"error": ["EService:Unavailable"]}', 200),
    )
