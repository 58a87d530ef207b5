"""Fixtures of the tests of plugins: a real HTTP receiver, exchanges, and how an instance is built."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from reservd_ccxt.source import CcxtSource
from support.exchange_server import ExchangeServer
from support.exchanges import FAMILIES, Binance, Kraken


@dataclass
class Received:
    """A received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """An HTTP server that records requests, and gives the answers that a test sets."""

    status: int = 200
    body: bytes = b""
    answer_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    behaviour: str = "answer"
    """`answer`, `hang`, `hang_up` (in the middle of the body)."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    base: str = ""

    @property
    def url(self) -> str:
        return f"{self.base}/hook?key=hidden-key"

    def says(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.answer_headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = dict(request.headers)
        self.requests.append(Received(request.method, request.raw_path, headers, await request.read()))
        self.arrived.set()
        if self.behaviour == "hang":
            await self.released.wait()
        if self.behaviour == "hang_up":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"half": ')
            assert request.transport is not None
            request.transport.abort()
            return response
        return web.Response(status=self.status, body=self.body, headers=self.answer_headers)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    async with TestServer(app) as server:
        receiver.base = f"http://127.0.0.1:{server.port}"
        yield receiver
        receiver.released.set()


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Any]:
    """Build an instance as the host does."""

    def make(
        cls: Any, options: Mapping[str, Any], environ: Mapping[str, str] | None = None, name: str = "example"
    ) -> Any:
        context = {"directory": tmp_path, "environ": environ or {}}
        return cls(name, cls.Config.model_validate(options, context=context))

    return make


@pytest.fixture(params=FAMILIES, ids=lambda server: server.exchange)
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[ExchangeServer]:
    """Each of the exchanges in turn."""
    async with request.param() as server:
        yield server


@pytest.fixture
async def binance() -> AsyncIterator[Binance]:
    async with Binance() as server:
        yield server


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    async with Kraken() as server:
        yield server


@pytest.fixture
def source(build: Callable[..., Any]) -> Callable[..., Any]:
    """Build a `ccxt` source, by default of one account with USDT."""

    def make(server: ExchangeServer, name: str = "example", **options: Any) -> Any:
        defaults = {"accounts": {"main": {"assets": ["USDT"]}}}
        return build(CcxtSource, {**server.options, **defaults, **options}, name=name)

    return make
