"""What the exchanges on loopback have in common: one key, its wallets, and a clock of their own."""

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
"""The account that keys are of, unless a test says otherwise."""

Holding = tuple[str | None, str]
"""What is free and what is in use; None is what the exchange does not tell."""


class Refused(Exception):  # noqa: N818  # an answer, not an error of the suite
    """The exchange says no."""

    def __init__(self, body: object, status: int = 200) -> None:
        self.answer = web.json_response(body, status=status)


class ExchangeServer(ABC):
    """One exchange and one key of it; an async context manager.

    Attributes:
        url: Where it listens.
        calls: The paths that were asked for, in order.
        requests: The same with their methods, such as `GET /path`.
        coins: What it lists: whether the coin can be withdrawn; None does not tell.
        wallets: What the key's accounts hold.
        may_trade: What the key may do, and so `may_withdraw`.
        tickers: What its spot markets say, by symbol such as ETH/USDT: bid, ask and last price.
        ticker_age_ms: How old they are, where the exchange tells.
        keys: The keys that it knows; all have the same accounts and the same secret.
        owners: Whose the keys are, by key, where that is not the one account that all are of.
        clock_ahead_ms: How far its clock is ahead of this machine's.
        refused_for_time: How many requests came with a time that is wrong.
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
        """Options of a `ccxt` source that reads here, but for its accounts."""
        return {
            "exchange": self.exchange,
            "api_key": KEY,
            "secret": SECRET,
            "urls": {"default": self.url},
            "rate_limit_ms": 1,
            "timeout": 60,
        }

    def answer(self, path: str, body: str, status: int = 200, **headers: str) -> None:
        """Answer this from now on, wherever the path has that part."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._instead[path] = lambda: web.Response(status=status, text=body, headers=named)

    def heal(self) -> None:
        """Answer as the exchange does again."""
        self._instead.clear()

    def now_ms(self) -> int:
        """Return the time by the exchange's clock."""
        return time.time_ns() // 1_000_000 + self.clock_ahead_ms

    def check_time(self, sent_ms: float, refusal: Refused) -> None:
        """Refuse a request of another time, as all but Kraken do."""
        if not -10_000 < sent_ms - self.now_ms() < 1_000:
            self.refused_for_time += 1
            raise refusal

    def owner(self, key: str | None) -> str:
        """Return the id of the account that a key is of."""
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
