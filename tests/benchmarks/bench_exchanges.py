"""Many accounts on many exchanges that take their time: a cycle takes as long as the slowest of them."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from aiohttp import web

from reservd import ReserveManager
from reservd.duty import settle
from reservd_ccxt.source import CcxtSource
from support.bench import Figure, report
from support.exchanges import Binance
from support.sources import ScriptedEquity

EXCHANGES = 20
ACCOUNTS = 200
DELAY_SECONDS = 0.05
ROUNDS = 5
KEYS = [[f"key-{number}-{key}" for key in range(ACCOUNTS // EXCHANGES)] for number in range(EXCHANGES)]


class _Slow(Binance):
    """Takes its time for every answer."""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(DELAY_SECONDS)
        return await super()._handle(request)


async def _serve(told: Connection) -> None:
    async with AsyncExitStack() as stack:
        urls = []
        for keys in KEYS:
            exchange = await stack.enter_async_context(_Slow())
            exchange.wallets["spot"] = {"USDT": ("110", "0")}
            exchange.keys.update(keys)
            exchange.owners = {key: str(10_000 + 100 * len(urls) + number) for number, key in enumerate(keys)}
            urls.append(exchange.url)
        told.send(urls)
        await asyncio.to_thread(told.recv)


def _run(told: Connection) -> None:
    asyncio.run(_serve(told))


@contextmanager
def _exchanges() -> Iterator[list[str]]:
    """Serve them from a process of their own, whose work is not counted."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send("end")
        process.join(10)
        process.terminate()


def bench_two_hundred_accounts_on_twenty_exchanges() -> None:
    """Time of a cycle over sub-accounts with a key each, beside the slowest of them read alone."""
    with _exchanges() as urls:
        asyncio.run(_measure(urls))


async def _measure(urls: list[str]) -> None:
    sources: dict[str, Any] = {}
    for url, keys in zip(urls, KEYS, strict=True):
        for key in keys:
            options = {**Binance().options, "urls": {"default": url}, "api_key": key}
            accounts = {"main": {"assets": ["USDT"]}}
            sources[key] = CcxtSource(key, CcxtSource.Config.model_validate({**options, "accounts": accounts}))
    manager = ReserveManager(ScriptedEquity(amount=1000 * ACCOUNTS), sources)
    mode = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_balance_sources": list(sources)}
    manager.set_reserve_config("m", mode)
    await manager.check_all_reserves()
    settle()  # as the daemon does
    took, cpu, alone = [], [], []
    for _ in range(ROUNDS):
        began, used = time.monotonic(), time.process_time()
        found = await manager.check_all_reserves()
        took.append(time.monotonic() - began)
        cpu.append(time.process_time() - used)
        assert found["m"].reserve_balance == 110 * ACCOUNTS
        alone.append(max([await _alone(source) for source in list(sources.values())[:: ACCOUNTS // EXCHANGES]]))
    await manager.close()
    slowest = min(alone)
    report(
        f"{ACCOUNTS} accounts on {EXCHANGES} exchanges that take {DELAY_SECONDS * 1e3:.0f} ms",
        [
            Figure("the slowest of them, read alone", slowest * 1e3, "ms", slowest * 1e3),
            Figure("ccxt, one cycle over all", min(took) * 1e3, "ms", slowest * 1e3, goal=1.5),
            Figure("ccxt, CPU of it", min(cpu) * 1e3, "ms"),
        ],
    )


async def _alone(source: CcxtSource) -> float:
    began = time.monotonic()
    await source.fetch_balances()
    return time.monotonic() - began
