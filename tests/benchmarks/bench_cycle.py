"""One cycle over 10,000 modes that share 100 in-memory sources, compared with the requirements' own algorithm."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, NamedTuple

import structlog

from reservd import ReserveManager, WithdrawalManager
from reservd.duty import settle
from support import document
from support.bench import Figure, best_of, report
from support.fleet import CURRENCY, Fleet

ROUNDS = 15

_EQUITY = Decimal("1000003.456789")
_BALANCE = Decimal("60012.345678")


class EquitySnapshot(NamedTuple):
    total_equity: Decimal


class Calculator:
    """Returns what the fleet's equity sources return."""

    async def calculate_equity(self, share_class: str) -> EquitySnapshot:
        return EquitySnapshot(_EQUITY)


class Wallet:
    """Returns what the fleet's accounts hold, and counts how often it is read."""

    def __init__(self) -> None:
        self.reads = 0

    async def get_balances(self) -> dict[str, Decimal]:
        self.reads += 1
        return {CURRENCY: _BALANCE}


def bench_cycle_over_ten_thousand_modes() -> None:
    """CPU per mode with all readings new, one in a hundred new, and none new; and of the document's loop."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    fleet = Fleet()
    manager = ReserveManager(fleet.equity_sources, fleet.balance_sources)
    wallet = Wallet()
    theirs = document.ReserveManager(Calculator(), {"alchemy": wallet})
    for mode, config in fleet.modes.items():
        manager.set_reserve_config(mode, config)
        theirs.set_reserve_config(mode, {"share_class": CURRENCY, "reserve_ratio": 0.05})

    async def cycle() -> None:
        await manager._cycles.run(30.0)

    with asyncio.Runner() as runner:

        def cpu(run: Callable[[], Coroutine[Any, Any, None]], prepare: Callable[[], None] = fleet.renew) -> float:
            return _cpu(runner, run, prepare) / len(fleet.modes)

        cpu(theirs.check_all_reserves)
        cpu(cycle)
        asks, reads = wallet.reads // 2, fleet.reads // 2
        gc.collect()
        gc.freeze()  # as the daemon does when it runs
        gc.set_threshold(50_000, 20, 50)
        cost = best_of(
            ROUNDS,
            theirs=lambda: cpu(theirs.check_all_reserves),
            all=lambda: cpu(cycle, fleet.change_all),
            some=lambda: cpu(cycle, fleet.change_some),
            none=lambda: cpu(cycle),
        )
        gc.unfreeze()
    report(
        f"One cycle over {len(fleet.modes):,} modes: CPU a mode",
        [
            Figure("the document's loop", cost["theirs"], "us", note=f"asks its wallet {asks:,} times a pass"),
            Figure("every reading new", cost["all"], "us", cost["theirs"], 1.0, f"{reads} source readings a cycle"),
            Figure("one reading in a hundred new", cost["some"], "us", cost["theirs"], 0.2),
            Figure("nothing new", cost["none"], "us", cost["theirs"]),
        ],
    )


def bench_cycle_where_withdrawals_are_decided() -> None:
    """The same with decisions on withdrawals, as in every daemon, none of which was accepted; compared with none."""
    fleet = Fleet()
    plain, paying = (ReserveManager(fleet.equity_sources, fleet.balance_sources) for _ in range(2))
    WithdrawalManager(paying)
    for mode, config in fleet.modes.items():
        plain.set_reserve_config(mode, config)
        paying.set_reserve_config(mode, config)
    with asyncio.Runner() as runner:

        def cpu(manager: ReserveManager) -> float:
            return _cpu(runner, lambda: manager._cycles.run(30.0), fleet.change_all) / len(fleet.modes)

        cpu(plain)
        cpu(paying)
        settle()
        cost = best_of(ROUNDS, plain=lambda: cpu(plain), paying=lambda: cpu(paying))
        gc.unfreeze()
    report(
        f"One cycle over {len(fleet.modes):,} modes, every reading new: CPU a mode",
        [
            Figure("without withdrawals", cost["plain"], "us"),
            Figure("where withdrawals are decided", cost["paying"], "us", cost["plain"]),
        ],
    )


def _cpu(runner: asyncio.Runner, run: Callable[[], Coroutine[Any, Any, None]], prepare: Callable[[], None]) -> float:
    """Return the microseconds of CPU of a run in the steady state."""
    prepare()
    runner.run(run())
    prepare()
    started = time.process_time()
    runner.run(run())
    return (time.process_time() - started) * 1e6
