"""How often the `evm` source is read for a block that its endpoint does not have yet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from reservd_evm.heads import NewHeads
from reservd_evm.wakes import Wakes


class Node:
    """Announces blocks when a test says so; None announces an invalid number."""

    def __init__(self) -> None:
        self.blocks: asyncio.Queue[int | None] = asyncio.Queue()
        self.url = ""

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
        while True:
            block = await self.blocks.get()
            head = {"number": "latest" if block is None else hex(block)}
            await socket.send_json({"method": "eth_subscription", "params": {"subscription": "0x1", "result": head}})


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node()
    app = web.Application()
    app.router.add_get("/", node.serve)
    async with TestServer(app) as server:
        node.url = f"ws://127.0.0.1:{server.port}/"
        yield node


async def is_quiet(waiting: "asyncio.Future[None]") -> bool:
    """Whether nothing is due, after the event loop has run all that is ready."""
    for _ in range(20):
        await asyncio.sleep(0)
    return not waiting.done()


async def test_block_is_looked_for_three_times_more_and_then_left_to_the_cycles(node: Node) -> None:
    wakes = Wakes(NewHeads("evm", SecretStr(node.url), max_silence=60))
    async with aclosing(wakes.follow()) as due:
        await node.blocks.put(7)
        await anext(due)
        for _ in range(3):
            wakes.was_read(6)
            await anext(due)
        wakes.was_read(6)
        nothing = asyncio.ensure_future(anext(due))
        assert await is_quiet(nothing)
        await node.blocks.put(8)
        await nothing
        wakes.was_read(7)
        await anext(due)


@pytest.mark.parametrize("block", [7, None])
async def test_block_is_not_looked_for_again_when_it_was_read_or_has_no_number(node: Node, block: int | None) -> None:
    wakes = Wakes(NewHeads("evm", SecretStr(node.url), max_silence=60))
    async with aclosing(wakes.follow()) as due:
        await node.blocks.put(block)
        await anext(due)
        wakes.was_read(7)
        nothing = asyncio.ensure_future(anext(due))
        assert await is_quiet(nothing)
        await node.blocks.put(8)
        await nothing
