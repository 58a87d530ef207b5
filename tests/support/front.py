"""A proxy in front of an HTTP server: passes everything on, or misbehaves as servers do.

async with Front(prometheus.url) as front:
    ...  # a source with front.url
    front.answers(503)
    front.heal()
"""

import asyncio
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import ClientSession, web

from support.ports import KeptPort

_Fixed = tuple[int, bytes, dict[str, str]]
RpcAlteration = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Changes the answer to a JSON-RPC call, given the method."""
_NOT_PASSED_ON = {"host", "content-length", "transfer-encoding", "accept-encoding"}


class Front:
    """Listens on 127.0.0.1; an async context manager.

    Attributes:
        url: The URL at which it listens.
    """

    def __init__(self, target: str) -> None:
        """Prepare a front of the server at a URL without a path."""
        self.url = ""
        self._target = target.rstrip("/")
        self._fixed: _Fixed | None = None
        self._once: tuple[str, _Fixed] | None = None
        self._delay_seconds = 0.0
        self._hangs_up = False
        self._alter_rpc: RpcAlteration | None = None
        self._open = asyncio.Event()
        self._open.set()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._port = KeptPort()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        self._session = ClientSession()
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.set()
        await self._session.close()
        await self._runner.cleanup()
        self._port.close()

    def answers(self, status: int, body: bytes | str = b"", **headers: str) -> None:
        """Give this answer from now on, without asking the server."""
        content = body.encode() if isinstance(body, str) else body
        self._fixed = status, content, {name.replace("_", "-"): value for name, value in headers.items()}

    def answers_once(self, status: int, body: str, *, asked: str = "") -> None:
        """Give this answer to the next request whose URL or body contains a text, and only to that."""
        self._once = asked, (status, body.encode(), {})

    def delays(self, seconds: float) -> None:
        """Delay every answer by this many seconds."""
        self._delay_seconds = seconds

    def hangs(self) -> None:
        """Accept requests and answer nothing from now on."""
        self._open.clear()

    def hangs_up(self) -> None:
        """Break every connection in the middle of the answer."""
        self._hangs_up = True

    def alters_rpc(self, alteration: RpcAlteration) -> None:
        """Apply this function to every JSON-RPC answer from now on."""
        self._alter_rpc = alteration

    async def refuses(self) -> None:
        """Accept no connections from now on."""
        await self._site.stop()
        for connection in list(self._runner.server.connections if self._runner.server is not None else ()):
            connection.force_close()

    async def heal(self) -> None:
        """Pass everything on again."""
        self._fixed = self._once = self._alter_rpc = None
        self._delay_seconds, self._hangs_up = 0.0, False
        self._open.set()
        if self._site not in self._runner.sites:
            await self._listen()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port.number, reuse_address=True)
        await self._site.start()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        await asyncio.sleep(self._delay_seconds)
        await self._open.wait()
        if self._hangs_up:
            return await _half_an_answer(request)
        fixed = self._fixed
        if self._once is not None and self._once[0] in f"{request.rel_url}\n{sent.decode()}":
            (_, fixed), self._once = self._once, None
        if fixed is not None:
            status, content, headers = fixed
            return web.Response(status=status, body=content, headers=headers)
        passed_on = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        url = f"{self._target}{request.rel_url}"
        async with self._session.request(request.method, url, data=sent, headers=passed_on) as answer:
            content = await answer.read()
            if self._alter_rpc is not None:
                content = _altered(json.loads(sent), json.loads(content), self._alter_rpc)
            return web.Response(status=answer.status, body=content, headers={"Content-Type": "application/json"})


async def _half_an_answer(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"half": ')
    assert request.transport is not None
    request.transport.abort()
    return response


def _altered(asked: Any, answered: Any, alteration: RpcAlteration) -> bytes:
    single = not isinstance(asked, list)
    methods = {call["id"]: call["method"] for call in ([asked] if single else asked)}
    found = [alteration(methods[each["id"]], each) for each in ([answered] if single else answered)]
    return json.dumps(found[0] if single else found).encode()
