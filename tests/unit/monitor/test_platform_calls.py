"""Plain objects of the platform, which may block: only their own reading waits for them."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import CallError, FailureReason
from reservd.monitor.sources.adapters import EquityCalculator
from reservd.monitor.sources.platform_calls import PlatformCalls
from reservd.monitor.sources.readers import EquityReader
from reservd.plugin import Equity
from support.polling import until

BASE = {"share_class": "USDT", "reserve_ratio": "0.1"}


class Gate:
    """Blocks threads until it is opened."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.callers: list[threading.Thread] = []

    def wait(self) -> None:
        self.callers.append(threading.current_thread())
        assert self._open.wait(60)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


async def test_loop_goes_on_when_a_plain_venue_and_a_plain_calculator_block(gate: Gate) -> None:
    class Venue:
        def get_balances(self) -> dict[str, Any]:
            gate.wait()
            return {"USDT": 120}

    class Calculator:
        def calculate_equity(self, share_class: str) -> Any:
            gate.wait()
            return SimpleNamespace(total_equity=1000)

    manager = ReserveManager(Calculator(), {"venue": Venue()})
    manager.set_reserve_config("m", BASE)
    checking = asyncio.create_task(manager.check_all_reserves())
    await until(lambda: len(gate.callers) == 2)
    assert not checking.done()
    assert threading.main_thread() not in gate.callers
    gate.open()
    assert (await checking)["m"].reserve_balance == Decimal(120)
    await manager.close()


async def test_one_that_hangs_costs_its_own_reading_and_one_thread(gate: Gate) -> None:
    class Calculator:
        def calculate_equity(self, share_class: str) -> Any:
            if share_class == "USDT":
                gate.wait()
            return SimpleNamespace(total_equity=1000)

    reader = EquityReader(EquityCalculator("nav", Calculator()), [])
    reader.guarded.timeout_seconds = 1.0
    for _ in range(2):
        usdt, eth = await asyncio.gather(reader.read("USDT", "USDT"), reader.read("ETH", "ETH"))
        assert isinstance(usdt, CallError)
        assert (usdt.reason, eth) == (FailureReason.TIMEOUT, Equity(Decimal(1000), "ETH", eth.observed_at))
    assert len(gate.callers) == 1
    gate.open()
    async with asyncio.timeout(60):
        while isinstance(await reader.read("USDT", "USDT"), CallError):
            await asyncio.sleep(0.005)
    await reader.close()


async def test_plain_calculator_is_asked_on_one_thread_at_a_time() -> None:
    """It need not be thread-safe."""
    busy = threading.Lock()

    class Calculator:
        def calculate_equity(self, share_class: str) -> Any:
            assert busy.acquire(blocking=False)
            threading.Event().wait(0.01)
            busy.release()
            return SimpleNamespace(total_equity=1000)

    amounts = {"USDT": 120, "ETH": 120, "BTC": 120}

    class Venue:
        def get_balances(self) -> dict[str, Any]:
            return amounts

    manager = ReserveManager(Calculator(), {"venue": Venue()})
    for coin in amounts:
        manager.set_reserve_config(coin, {**BASE, "share_class": coin})
    await manager.check_all_reserves()
    assert {manager.status(coin) for coin in amounts} == {ReserveStatus.ADEQUATE}
    await manager.close()


async def test_method_may_be_async_plain_or_return_what_is_to_be_awaited() -> None:
    async def asynchronous(of: str) -> tuple[str, threading.Thread]:
        return of, threading.current_thread()

    def returns_one(of: str) -> Coroutine[Any, Any, tuple[str, threading.Thread]]:
        return asynchronous(of)

    def plain(of: str) -> tuple[str, threading.Thread]:
        return of, threading.current_thread()

    assert await PlatformCalls(asynchronous).call("a") == ("a", threading.main_thread())
    assert await PlatformCalls(returns_one).call("a") == ("a", threading.main_thread())
    told, thread = await PlatformCalls(plain).call("a")
    assert (told, thread is threading.main_thread(), thread.daemon) == ("a", False, True)


async def test_what_a_plain_method_raises_is_raised() -> None:
    def broken() -> None:
        raise LookupError("on purpose")

    calls = PlatformCalls(broken)
    for _ in range(2):
        with pytest.raises(LookupError, match="on purpose"):
            await calls.call()


PROGRAM = """
import asyncio, threading
from types import SimpleNamespace
from reservd import ReserveManager

class Venue:
    def get_balances(self):
        asyncio.run_coroutine_threadsafe(stop(), loop)
        threading.Event().wait()

class Calculator:
    def calculate_equity(self, share_class):
        return SimpleNamespace(total_equity=1000)

async def stop():
    manager.stop_monitoring()

async def main():
    global loop
    loop = asyncio.get_running_loop()
    await manager.start_monitoring()
    print("stopped")

manager = ReserveManager(Calculator(), {"venue": Venue()})
manager.set_reserve_config("m", {"share_class": "USDT", "reserve_ratio": "0.1"})
asyncio.run(main())
"""


def test_program_ends_while_a_venue_hangs() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout.splitlines()[-1], result.stderr) == (0, "stopped", "")
