"""Many accounts on many exchanges that take their time: a cycle takes as long as the slowest of them."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, cast

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


class _Exchange(asyncio.Protocol):
    """Binance, as far as it is asked here, in so few steps that it is no part of what is measured.

    The real ones are twenty sites with machines of their own; here all share what this machine has left.
    """

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request, which is small enough to come at once."""
        key = data.partition(b"X-MBX-APIKEY: ")[2].partition(b"\r\n")[0]
        path = data.split(b" ", 2)[1].partition(b"?")[0]
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._answer, self._answers[path + key])

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _answers(keys: Mapping[str, int]) -> dict[bytes, bytes]:
    """Return what an exchange says, by path and key. Each key is of an account of its own."""
    may = {"enableReading": True, "enableWithdrawals": False}
    coins = [{"coin": "USDT", "name": "USDT", "networkList": [{"network": "ETH", "withdrawEnable": True}]}]
    balances = [{"asset": "USDT", "free": "110", "locked": "0"}]
    answers = {b"/api/v3/time": _http({"serverTime": time.time_ns() // 1_000_000})}
    for key, uid in keys.items():
        account = {"accountType": "SPOT", "uid": uid, "updateTime": 1499405658657, "balances": balances}
        told = {
            "sapi/v1/account/apiRestrictions": may,
            "sapi/v1/capital/config/getall": coins,
            "api/v3/account": account,
        }
        answers |= {f"/{path}{key}".encode(): _http(said) for path, said in told.items()}
    return answers


def _http(said: object) -> bytes:
    body = json.dumps(said).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def _serve(told: Connection) -> None:
    async with AsyncExitStack() as stack:
        loop, urls = asyncio.get_running_loop(), []
        for number, keys in enumerate(KEYS):
            answers = _answers({key: 10_000 + 100 * number + place for place, key in enumerate(keys)})
            server = await loop.create_server(partial(_Exchange, answers), "127.0.0.1", 0)
            await stack.enter_async_context(server)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
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
