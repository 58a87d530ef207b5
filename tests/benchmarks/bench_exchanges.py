"""Many accounts on many slow exchanges: a cycle takes as long as the slowest of them."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from reservd import ReserveManager
from reservd.duty import settle
from reservd_ccxt.client import Settings, build, import_exchange, open_session
from reservd_ccxt.source import CcxtSource
from support.bench import Figure, report
from support.exchanges import Binance
from support.sources import ScriptedEquity

T = TypeVar("T")

EXCHANGES = 20
ACCOUNTS = 200
DELAY_SECONDS = 0.05
ROUNDS = 5
LEAN = {"omitZeroBalances": True}
KEYS = [[f"key-{number}-{key}" for key in range(ACCOUNTS // EXCHANGES)] for number in range(EXCHANGES)]


class _Exchange(asyncio.Protocol):
    """The part of Binance that is used here, simple enough not to affect the measurement.

    The real ones are twenty sites with machines of their own; here all share the rest of this machine.
    """

    def __init__(self, answers: Mapping[bytes, bytes]) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer a request, which is small enough to arrive in one piece."""
        key = data.partition(b"X-MBX-APIKEY: ")[2].partition(b"\r\n")[0]
        path = data.split(b" ", 2)[1].partition(b"?")[0]
        said = self._answers.get(path + key) or _http({"serverTime": time.time_ns() // 1_000_000})
        asyncio.get_running_loop().call_later(DELAY_SECONDS, self._answer, said)

    def _answer(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


def _answers(keys: Mapping[str, int]) -> dict[bytes, bytes]:
    """Return the answers of an exchange without its time, by path and key. Each key has an account of its own."""
    may = {"enableReading": True, "enableWithdrawals": False}
    coins = [{"coin": "USDT", "name": "USDT", "networkList": [{"network": "ETH", "withdrawEnable": True}]}]
    balances = [{"asset": "USDT", "free": "110", "locked": "0"}]
    answers = {}
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
    """Serve the exchanges from a process of their own, whose CPU is not counted."""
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
    """Time of a cycle over sub-accounts with a key each, compared with those of the slowest exchange alone."""
    with _exchanges() as urls:
        asyncio.run(_measure(urls))


async def _measure(urls: list[str]) -> None:
    async with _everything(urls) as (sources, manager, bare):
        slowest, took, cpu, of_ccxt, cpu_of_ccxt = [], [], [], [], []
        for _ in range(ROUNDS):
            slowest.append(max([await _alone(exchange) for exchange in _by_exchange(sources)]))
            seconds, used, found = await _timed(manager.check_all_reserves())
            took.append(seconds)
            cpu.append(used)
            assert found["m"].reserve_balance == 110 * ACCOUNTS
            seconds, used, _ = await _timed(asyncio.gather(*[each.fetch_balance(LEAN) for each in bare]))
            of_ccxt.append(seconds)
            cpu_of_ccxt.append(used)
    alone = min(slowest) * 1e3
    report(
        f"{ACCOUNTS} accounts on {EXCHANGES} exchanges that take {DELAY_SECONDS * 1e3:.0f} ms",
        [
            Figure("the slowest of them, its accounts read alone", alone, "ms", alone),
            Figure("ccxt, one cycle over all", min(took) * 1e3, "ms", alone, goal=1.5),
            Figure("ccxt, CPU of it", min(cpu) * 1e3, "ms"),
            Figure("ccxt by itself, all at once", min(of_ccxt) * 1e3, "ms", alone, note="no goal: the library's share"),
            Figure("ccxt by itself, CPU of it", min(cpu_of_ccxt) * 1e3, "ms"),
        ],
    )


@asynccontextmanager
async def _everything(urls: list[str]) -> AsyncIterator[tuple[list[CcxtSource], ReserveManager, list[Any]]]:
    """Yield a source for each key, a mode on all of them, and ccxt's object for each, all of which have been read."""
    sources: dict[str, CcxtSource] = {}
    for url, keys in zip(urls, KEYS, strict=True):
        for key in keys:
            options = {**Binance().options, "urls": {"default": url}, "api_key": key}
            accounts = {"main": {"assets": ["USDT"]}}
            sources[key] = CcxtSource(key, CcxtSource.Config.model_validate({**options, "accounts": accounts}))
    manager = ReserveManager(ScriptedEquity(amount=1000 * ACCOUNTS), sources)
    mode = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_balance_sources": list(sources)}
    manager.set_reserve_config("m", mode)
    await manager.check_all_reserves()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(manager.close)
        bare = []
        for source in sources.values():
            session = await stack.enter_async_context(open_session())
            exchange = build(*import_exchange("binance"), Settings.of(source.config), session, 60)
            exchange.set_markets([], {})
            bare.append(exchange)
        await asyncio.gather(*[each.fetch_balance(LEAN) for each in bare])
        settle()  # as the daemon does
        yield list(sources.values()), manager, bare


def _by_exchange(sources: Sequence[CcxtSource]) -> Iterator[Sequence[CcxtSource]]:
    keys = len(KEYS[0])
    return (sources[start : start + keys] for start in range(0, len(sources), keys))


async def _alone(sources: Sequence[CcxtSource]) -> float:
    return (await _timed(asyncio.gather(*[source.fetch_balances() for source in sources])))[0]


async def _timed(work: Awaitable[T]) -> tuple[float, float, T]:
    """Return the seconds and CPU seconds of a call, and its result."""
    began, used = time.monotonic(), time.process_time()
    found = await work
    return time.monotonic() - began, time.process_time() - used, found
