"""A source that needs nearly its modes' whole interval, or longer, is slow and not gone: what it says counts."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason, SourceError
from reservd.monitor.cycles.cycle import PATIENCE
from reservd.monitor.sources.readers import BalanceReader, EquityReader
from reservd.monitor.sources.table import FailedTable
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.models import EventType, ReserveEvent
from support.hand_clock import HandClock
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, raises

INTERVAL = 0.5
BASE = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_monitoring_interval": str(INTERVAL)}
TOO_LONG = (PATIENCE + 1) / 2 * INTERVAL
"""Longer than a mode waits, and over before the next cycle."""


def slowly(seconds: float, answer: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """Return a behaviour: answer with what was true when it was asked."""

    async def read() -> Any:
        answered = answer()
        await asyncio.sleep(seconds)
        return answered

    return read


@pytest.mark.parametrize(
    ("balance_takes", "equity_takes"),
    [
        (TOO_LONG, 0),
        (0, TOO_LONG),
        (TOO_LONG, TOO_LONG),
        (1.25 * INTERVAL, TOO_LONG),
        (2.6 * INTERVAL, 0),
        (2 * INTERVAL + TOO_LONG, 0),
    ],
)
async def test_mode_is_known_and_its_fall_is_said_when_sources_are_slow(
    balance_takes: float, equity_takes: float
) -> None:
    """A reading that ends between two cycles belongs to the second one. No mode is unknown though all answer."""
    source, equity, events = ScriptedBalances("t", main=110), ScriptedEquity(), list[ReserveEvent]()

    def balances() -> Reading:
        return Reading([Balance("main", "USDT", Decimal(source.amounts["main"]), datetime.now(UTC))])

    source.misbehave = slowly(balance_takes, balances)
    equity.misbehave = slowly(equity_takes, lambda: Equity(Decimal(1000), "USDT", datetime.now(UTC)))
    manager = ReserveManager(equity, {"t": source})
    manager.set_reserve_config("m", BASE)
    manager.add_reserve_callback(events.append)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.status("m") is ReserveStatus.ADEQUATE)
    source.amounts["main"] = 10
    await until(lambda: manager.status("m") is ReserveStatus.CRITICAL)
    manager.stop_monitoring()
    await running
    assert [event.event_type for event in events] == [EventType.CRITICAL]


async def test_mode_is_known_when_slow_sources_were_not_asked_at_the_same_time() -> None:
    """If each reading were given up before the other came, none would ever count."""
    source, equity, slow = ScriptedBalances("t", main=110), ScriptedEquity(), INTERVAL + TOO_LONG

    async def balances() -> Any:
        source.misbehave = slowly(slow, lambda: Reading([Balance("main", "USDT", Decimal(110), datetime.now(UTC))]))
        raise SourceError(FailureReason.REJECTED, "not yet")

    source.misbehave = balances
    equity.misbehave = slowly(slow, lambda: Equity(Decimal(1000), "USDT", datetime.now(UTC)))
    manager = ReserveManager(equity, {"t": source})
    manager.set_reserve_config("m", BASE)
    running = asyncio.create_task(manager.start_monitoring())
    await until(lambda: manager.status("m") is ReserveStatus.ADEQUATE)
    manager.stop_monitoring()
    await running


async def test_mode_is_known_when_each_answer_comes_just_after_its_cycle() -> None:
    """If each cycle read anew, none would ever have an answer."""
    source, equity = ScriptedBalances("t", timeout=60, main=110), ScriptedEquity(timeout=60)
    released = asyncio.Event()
    manager = ReserveManager(equity, {"t": source})
    manager.set_reserve_config("m", {**BASE, "reserve_monitoring_interval": "1"})

    async def balances() -> Reading:
        await released.wait()
        return Reading([Balance("main", "USDT", Decimal(110), datetime.now(UTC))])

    async def total() -> Equity:
        await released.wait()
        return Equity(Decimal(1000), "USDT", datetime.now(UTC))

    source.misbehave, equity.misbehave = balances, total
    readers = manager._wiring.readers
    manager.begin()
    for status in (ReserveStatus.UNKNOWN, ReserveStatus.ADEQUATE):
        await manager._cycles.run(1.0)
        assert manager.status("m") is status
        released.set()
        await asyncio.gather(readers.balances["t"].read(), readers.equities["equity_calculator"].read("USDT", "USDT"))
        released.clear()
    await manager.close()


async def test_late_reading_is_used_once_unless_a_newer_one_was_answered() -> None:
    """An older observation in place of a newer one would end an incident, or begin one."""
    source = ScriptedBalances("t", main=110)
    reader = BalanceReader(source, [])
    late = reader.read()
    await late
    assert reader.read(late=late) is late
    newer = reader.read()
    assert reader.read(late=late) is late, "the newer one has not been answered yet"
    await newer
    source.misbehave = raises(SourceError(FailureReason.REJECTED, "no"))
    failed = reader.read(late=late)
    assert failed not in {late, newer}
    assert isinstance(await failed, FailedTable)
    again = reader.read(late=failed)
    assert again is not failed, "a failure is no answer"
    await again
    await reader.close()
    other = reader.read(late=newer)
    assert other is not newer, "another source may have its name"
    await other


async def test_late_equity_is_that_of_the_same_question() -> None:
    reader = EquityReader(ScriptedEquity(), [])
    late = reader.read("USDT", "USDT")
    await late
    assert reader.read("USDT", "USDT", late) is late
    other = reader.read("ETH", "ETH", late)
    assert other is not late
    await other
    await reader.close()


@pytest.mark.parametrize(("seconds", "reads"), [(0, 1), (3600, 2)])
async def test_late_reading_is_not_used_after_a_standstill(seconds: float, reads: int) -> None:
    """It would be as old as the standstill was long, and make the mode unknown."""
    source, clock, asked = ScriptedBalances("t", timeout=60, main=110), HandClock(), asyncio.Event()
    manager = ReserveManager(ScriptedEquity(), {"t": source}, clock=clock)
    manager.set_reserve_config("m", {**BASE, "reserve_monitoring_interval": "3"})

    async def late() -> Reading:
        await asked.wait()
        return Reading([Balance("main", "USDT", Decimal(110), datetime.now(UTC))])

    source.misbehave = late
    manager.begin()
    await manager._cycles.run(3.0)
    assert manager.status("m") is not ReserveStatus.ADEQUATE
    asked.set()
    await manager._wiring.readers.balances["t"].read()
    clock.advance(seconds)
    await manager._cycles.run(3.0)
    assert (manager.status("m"), source.reads) == (ReserveStatus.ADEQUATE, reads)
    await manager.close()
