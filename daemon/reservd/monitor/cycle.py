"""One cycle: every source read once, all at the same time, each mode checked as soon as its own are there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reservd.errors import CallError
from reservd.monitor.clock import Clock
from reservd.monitor.readers import BalanceReader, EquityReader, Table
from reservd.monitor.watch import EquityPlace, ModeWatch, Readings
from reservd.reserve.readings import Equity

_BATCH = 250
"""Modes checked between two looks at the rest of the event loop."""

Check = Callable[[Sequence[ModeWatch], Readings], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Group:
    """Modes that wait for the same sources and believe readings of the same age."""

    sources: frozenset[str]
    equity: EquityPlace
    max_staleness: timedelta
    watches: list[ModeWatch]


class CyclePlan:
    """Which modes wait for which sources. Made once for a set of modes, used every cycle."""

    def __init__(self, watches: Iterable[ModeWatch]) -> None:
        grouped: dict[tuple[frozenset[str], EquityPlace, timedelta], list[ModeWatch]] = {}
        self._share_classes: dict[EquityPlace, str] = {}
        for watch in watches:
            sources = frozenset(holding.source for holding in watch.holdings)
            grouped.setdefault((sources, watch.equity, watch.config.policy.max_staleness), []).append(watch)
            self._share_classes[watch.equity] = watch.config.share_class
        self._groups = [_Group(*key, members) for key, members in grouped.items()]

    async def run(
        self,
        balance_readers: Mapping[str, BalanceReader],
        equity_readers: Mapping[str, EquityReader],
        clock: Clock,
        check: Check,
    ) -> None:
        """Read every source once and hand each batch of modes to `check` once its sources are there.

        Args:
            balance_readers: By source.
            equity_readers: By source.
            clock: Tells when a batch is checked.
            check: Checks some modes; runs between two batches of other work on the loop.
        """
        balances: dict[str, asyncio.Future[Table]] = {}
        equities: dict[EquityPlace, asyncio.Future[Equity | CallError]] = {}
        for group in self._groups:
            for source in group.sources - balances.keys():
                balances[source] = balance_readers[source].read()
            if group.equity not in equities:
                name, key = group.equity
                equities[group.equity] = equity_readers[name].read(key, self._share_classes[group.equity])
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                mine = {source: balances[source] for source in group.sources}
                tasks.create_task(_check_group(group, mine, equities[group.equity], clock, check))


async def _check_group(
    group: _Group,
    balances: Mapping[str, asyncio.Future[Table]],
    equity: asyncio.Future[Equity | CallError],
    clock: Clock,
    check: Check,
) -> None:
    waited_for: list[asyncio.Future[Any]] = [*balances.values(), equity]
    await asyncio.wait(waited_for)
    tables = {source: reading.result() for source, reading in balances.items()}
    for start in range(0, len(group.watches), _BATCH):
        now = clock.now()
        horizon = now.wall - group.max_staleness, now.wall + group.max_staleness
        await check(group.watches[start : start + _BATCH], Readings(tables, equity.result(), now, *horizon))
        await asyncio.sleep(0)
