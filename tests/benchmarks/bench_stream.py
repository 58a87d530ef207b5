"""A stream of events to many listeners: how long after the first one the last one receives an event."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

from support.api import ApiDaemon
from support.bench import Figure, report

CLIENTS = 500
CHANGES = ("low", "critical", "low", "critical", "low", "adequate")


class _Ear(NamedTuple):
    """A listener, and when it received each event."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    heard: list[float]


def bench_five_hundred_listeners(tmp_path: Path) -> None:
    """Spread and deliveries per second, compared with one listener."""
    with ApiDaemon(tmp_path) as daemon:
        alone = asyncio.run(_listen(daemon, 1))
        many = asyncio.run(_listen(daemon, CLIENTS))
    report(
        f"{len(CHANGES)} events to {CLIENTS} listeners",
        [
            Figure("one listener, from the balance's change", alone.delay * 1e3, "ms", alone.delay * 1e3),
            Figure(f"{CLIENTS}, from the change to the last of them", many.delay * 1e3, "ms", alone.delay * 1e3),
            Figure(f"{CLIENTS}, from the first to the last of them", many.spread * 1e3, "ms"),
            Figure(f"{CLIENTS}, events handed on a second", CLIENTS / many.spread, "/s"),
        ],
    )


class _Times(NamedTuple):
    """Medians over the events, in seconds."""

    delay: float
    spread: float


async def _listen(daemon: ApiDaemon, number: int) -> _Times:
    async with AsyncExitStack() as stack:
        ears = [await _connect(daemon.address, stack) for _ in range(number)]
        delays, spreads = [], []
        for count, status in enumerate(CHANGES, start=1):
            began = time.monotonic()
            await asyncio.to_thread(daemon.world.set, "alpha", status)
            async with asyncio.timeout(60):
                await asyncio.gather(*(_hear(ear, count) for ear in ears))
            times = [ear.heard[count - 1] for ear in ears]
            delays.append(max(times) - began)
            spreads.append(max(max(times) - min(times), 1e-6))
        return _Times(sorted(delays)[len(delays) // 2], sorted(spreads)[len(spreads) // 2])


async def _connect(address: str, stack: AsyncExitStack) -> _Ear:
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    stack.callback(writer.close)
    writer.write(f"GET /api/v1/events/stream HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    await reader.readuntil(b"retry: 2000")
    return _Ear(reader, writer, [])


async def _hear(ear: _Ear, count: int) -> None:
    while len(ear.heard) < count:
        line = await ear.reader.readline()
        assert line, "disconnected"
        if line.startswith(b"data: "):
            ear.heard.append(time.monotonic())
