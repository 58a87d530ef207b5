"""A proxy between a JSON-RPC client and its node: counts, delays and alters messages."""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, web

Alteration = Callable[[Any], Any]


class RpcProxy:
    """Passes JSON-RPC on to a node; an async context manager.

        async with RpcProxy(chain.url, delay_seconds=0.02) as proxy:
            ...  # use proxy.url
        assert len(proxy.requests) == 1

    Attributes:
        url: The URL at which it listens.
        requests: The parsed body of each HTTP request, in order.
        delay_seconds: The delay of each request.
        most_at_once: The maximum number of concurrent requests.
    """

    def __init__(self, node_url: str, *, delay_seconds: float = 0.0) -> None:
        self.url = ""
        self.requests: list[Any] = []
        self.delay_seconds = delay_seconds
        self.most_at_once = 0
        self._here = 0
        self._batch_status: int | None = None
        self._node_url = node_url
        self._alter: Alteration | None = None
        self._fixed: tuple[int, bytes, dict[str, str]] | None = None
        self._open = asyncio.Event()
        self._open.set()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        self._session = ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.heal()
        await self._runner.cleanup()
        await self._session.close()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Give this answer from now on, without asking the node."""
        self._fixed = status, body, {name.replace("_", "-"): value for name, value in headers.items()}

    def alter(self, alteration: Alteration) -> None:
        """Apply this function to the node's parsed answers from now on."""
        self._alter = alteration

    def refuse_batches(self, status: int) -> None:
        """Answer batches with this HTTP status from now on, and pass on single calls."""
        self._batch_status = status

    def hang(self) -> None:
        """Accept requests and answer nothing from now on."""
        self._open.clear()

    def heal(self) -> None:
        """Pass on everything unchanged again, including requests that hang."""
        self._alter = self._fixed = self._batch_status = None
        self._open.set()

    async def _handle(self, request: web.Request) -> web.Response:
        self._here += 1
        self.most_at_once = max(self.most_at_once, self._here)
        try:
            return await self._answer(await request.read())
        finally:
            self._here -= 1

    async def _answer(self, body: bytes) -> web.Response:
        asked = json.loads(body)
        self.requests.append(asked)
        await asyncio.sleep(self.delay_seconds)
        await self._open.wait()
        if self._fixed is not None:
            status, content, headers = self._fixed
            return web.Response(status=status, body=content, headers=headers)
        if self._batch_status is not None and isinstance(asked, list):
            return web.Response(status=self._batch_status)
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._node_url, data=body, headers=headers) as answer:
            content = await answer.read()
            if self._alter is not None:
                content = json.dumps(self._alter(json.loads(content))).encode()
            return web.Response(status=answer.status, body=content, headers=headers)
