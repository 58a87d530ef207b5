"""What the exchanges on loopback have in common: one key, its wallets, and a clock."""

import base64
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web

KEY = "key-0123456789abcdef"
SECRET = base64.b64encode(b"only the tests know this secret").decode()
PASSPHRASE = "the-passphrase"
OWNER = "44705892343619584"
"""The account to which keys belong by default."""

Holding = tuple[str | None, str]
"""Free and used amount; None means that the exchange does not report it."""


class Refused(Exception):  # noqa: N818  # an answer, not an error of the suite
    """The exchange refuses the request."""

    def __init__(self, body: object, status: int = 200) -> None:
        self.answer = web.json_response(body, status=status)


class ExchangeServer(ABC):
    """An exchange and one key of it; an async context manager.

    Attributes:
        url: The URL at which it listens.
        calls: The requested paths, in order.
        requests: The same with their methods, such as `GET /path`.
        coins: The listed coins: whether each can be withdrawn; None if not reported.
        wallets: The balances of the key's accounts.
        may_trade: Whether the key may trade; `may_withdraw` likewise.
        tickers: The spot tickers by symbol such as ETH/USDT: bid, ask and last price.
        ticker_age_ms: The age of the tickers, where the exchange reports it.
        keys: The known keys; all have the same accounts and the same secret.
        owners: The account of a key, where it differs from the default one.
        clock_ahead_ms: How far its clock is ahead of this machine's.
        refused_for_time: The number of requests refused for a wrong time.
    """

    exchange: ClassVar[str]

    def __init__(self) -> None:
        self.url = "http://127.0.0.1:1"
        self.calls: list[str] = []
        self.requests: list[str] = []
        self.coins: dict[str, bool | None] = {"USDT": True, "USDC": True}
        self.wallets: dict[str, dict[str, Holding]] = {}
        self.tickers: dict[str, tuple[str, str, str]] = {}
        self.ticker_age_ms = 0
        self.keys = {KEY}
        self.owners: dict[str, str] = {}
        self.may_trade = False
        self.may_withdraw = False
        self.clock_ahead_ms = 0
        self.refused_for_time = 0
        self._instead: dict[str, Callable[[], web.StreamResponse]] = {}

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def options(self) -> dict[str, Any]:
        """Options of a `ccxt` source that reads from here, without its accounts."""
        return {
            "exchange": self.exchange,
            "api_key": KEY,
            "secret": SECRET,
            "urls": {"default": self.url},
            "rate_limit_ms": 1,
            "timeout": 60,
        }

    def answer(self, path: str, body: str, status: int = 200, **headers: str) -> None:
        """Give this answer from now on to every request whose path contains `part`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._instead[path] = lambda: web.Response(status=status, text=body, headers=named)

    def heal(self) -> None:
        """Answer as the exchange does again."""
        self._instead.clear()

    def now_ms(self) -> int:
        """Return the time of the exchange's clock."""
        return time.time_ns() // 1_000_000 + self.clock_ahead_ms

    def check_time(self, sent_ms: float, refusal: Refused) -> None:
        """Refuse a request with a wrong time, as all exchanges but Kraken do."""
        if not -10_000 < sent_ms - self.now_ms() < 1_000:
            self.refused_for_time += 1
            raise refusal

    def owner(self, key: str | None) -> str:
        """Return the id of the account to which a key belongs."""
        return self.owners.get(key or "", OWNER)

    @abstractmethod
    def respond(self, request: web.Request, body: str) -> object:
        """Return the JSON of an answer, or raise `Refused`."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(request.path)
        self.requests.append(f"{request.method} {request.path}")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.stream(request)
        for part, make in self._instead.items():
            if part in request.path:
                return make()
        try:
            return web.json_response(self.respond(request, (await request.read()).decode()))
        except Refused as refused:
            return refused.answer

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve a WebSocket."""
        return web.Response(status=404)
