"""The `evm` source receives new blocks over a websocket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from support.chain import Anvil
from support.evm import addresses, evm_source

OPTIONS = {"accounts": {"hot": addresses(1)[0]}, "assets": {"ETH": {"native": True}}}
SECRET = "0123456789abcdef"


class Listener:
    """Counts the changes that a source yields."""

    def __init__(self) -> None:
        self.heads = 0
        self.ended = False

    async def listen(self, changes: AsyncIterator[None]) -> None:
        async for _ in changes:
            self.heads += 1
        self.ended = True

    async def until(self, heads: int, meanwhile: Callable[[], Any] = lambda: None) -> None:
        while self.heads < heads:
            meanwhile()
            await asyncio.sleep(0.05)


@asynccontextmanager
async def listening(ws_url: str, **options: Any) -> AsyncIterator[Listener]:
    listener = Listener()
    async with evm_source("http://127.0.0.1:9/", ws_url=ws_url, **OPTIONS, **options) as source:
        changes = source.changes()
        assert changes is not None
        task = asyncio.create_task(listener.listen(changes))
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.wait({task})
    assert not listener.ended


def test_source_has_no_changes_when_no_websocket_is_configured() -> None:
    assert evm_source("http://127.0.0.1:9/", **OPTIONS).changes() is None


async def test_blocks_are_told_as_the_node_makes_them(chain: Anvil) -> None:
    async with listening(f"ws://127.0.0.1:{chain.port}") as listener:
        await listener.until(1, chain.mine)
        for _ in range(3):
            before = listener.heads
            chain.mine()
            await listener.until(before + 1)


async def test_blocks_are_told_again_when_the_node_was_restarted(chain: Anvil) -> None:
    """The loss and the return are logged once each, without the URL."""
    with capture_logs() as logs:
        async with listening(f"ws://127.0.0.1:{chain.port}/?key={SECRET}") as listener:
            await listener.until(1, chain.mine)
            chain.stop()
            while not logs:
                await asyncio.sleep(0.05)
            chain.start()
            await listener.until(listener.heads + 1, chain.mine)
    assert [(log["event"], log["source"]) for log in logs] == [("heads.lost", "evm"), ("heads.followed", "evm")]
    assert SECRET not in str(logs)


async def test_stream_ends_when_it_is_closed(chain: Anvil) -> None:
    """The host closes it between two heads, or while it waits for one."""
    async with evm_source(chain.url, ws_url=f"ws://127.0.0.1:{chain.port}", **OPTIONS) as source:
        changes = source.changes()
        assert changes is not None
        async with aclosing(changes):
            waiting = asyncio.ensure_future(anext(changes))
            while not waiting.done():
                chain.mine()
                await asyncio.sleep(0.05)
        with pytest.raises(StopAsyncIteration):
            await anext(changes)


HEAD = {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {}}}


async def test_each_head_is_told_once_and_nothing_else_is() -> None:
    """One connection sends two heads and another message, so the third head needs a second connection."""
    connections = 0

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal connections
        connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        for message in ({"id": 9}, {"id": 1, "result": "0x1"}, HEAD, {"params": {"subscription": "0x2"}}, HEAD):
            await socket.send_json(message)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    seen = []
    async with TestServer(app) as server:
        source = evm_source("http://127.0.0.1:9/", ws_url=f"ws://127.0.0.1:{server.port}/", **OPTIONS)
        changes = source.changes()
        assert changes is not None
        async with aclosing(changes):
            async for _ in changes:
                seen.append(connections)
                if len(seen) == 6:
                    break
    assert seen == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    "strange",
    [
        b"not JSON",
        b"[1, 2]",
        b'{"params": 7}',
        b'{"params": {"subscription": "0x2"}}',
        b"[" * 100_000,
        b"x" * 2_000_000,
        None,
    ],
)
async def test_heads_go_on_when_the_server_says_strange_things(strange: bytes | None) -> None:
    """A message that is no head is ignored; an unreadable one ends the connection, and another is made."""
    spoiled = False

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal spoiled
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
        if not spoiled:
            spoiled = True
            if strange is None:
                await socket.close()
                return socket
            await socket.send_str(strange.decode())
        while not socket.closed:
            await socket.send_json(HEAD)
            await asyncio.sleep(0.01)
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server, listening(f"ws://127.0.0.1:{server.port}/") as listener:
        await listener.until(3)


@pytest.mark.parametrize("answer", [{"error": {"code": -32601, "message": "no"}}, {"result": None}])
async def test_server_is_asked_again_when_it_offers_no_heads(answer: dict[str, Any]) -> None:
    asked = 0

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal asked
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        asked += 1
        await socket.send_json({"jsonrpc": "2.0", "id": 1} | answer)
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server, listening(f"ws://127.0.0.1:{server.port}/") as listener:
        while asked < 2:
            await asyncio.sleep(0.05)
        assert listener.heads == 0


async def test_connection_is_made_anew_when_no_head_comes_for_too_long() -> None:
    connections = 0

    async def serve(request: web.Request) -> web.WebSocketResponse:
        nonlocal connections
        connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
        await socket.receive()
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server, listening(f"ws://127.0.0.1:{server.port}/", max_block_age=0.1):
        while connections < 2:
            await asyncio.sleep(0.05)
