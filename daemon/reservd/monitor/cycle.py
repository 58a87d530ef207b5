"""One cycle: every source read once, all at the same time, each mode checked as soon as its own are there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reservd.monitor.readers import BalanceReader, EquityReader
from reservd.monitor.watch import EquityPlace, ModeWatch, Readings

_BATCH = 50
"""Modes checked between two looks at the rest of the event loop."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Modes that wait for the same sources."""

    sources: frozenset[str]
    equities: frozenset[EquityPlace]
    watches: Sequence[ModeWatch]


class CyclePlan:
    """Which modes wait for which sources. Made once for a set of modes, used every cycle."""

    def __init__(self, watches: Iterable[ModeWatch]) -> None:
        grouped: dict[tuple[frozenset[str], frozenset[EquityPlace]], list[ModeWatch]] = {}
        self._share_classes: dict[EquityPlace, str] = {}
        for watch in watches:
            key = (frozenset(holding.source for holding in watch.holdings), frozenset({watch.equity}))
            grouped.setdefault(key, []).append(watch)
            self._share_classes[watch.equity] = watch.config.share_class
        self._groups = [_Group(*key, members) for key, members in grouped.items()]

    async def run(
        self,
        balance_readers: Mapping[str, BalanceReader],
        equity_readers: Mapping[str, EquityReader],
        check: Callable[[Sequence[ModeWatch], Readings], Awaitable[None]],
    ) -> None:
        """Read every source once and hand each batch of modes to `check` once its sources are there.

        Args:
            balance_readers: By source.
            equity_readers: By source.
            check: Checks some modes; runs between two batches of other work on the loop.
        """
        balances: dict[str, asyncio.Task[Any]] = {}
        equities: dict[EquityPlace, asyncio.Task[Any]] = {}
        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                for source in group.sources - balances.keys():
                    balances[source] = tasks.create_task(balance_readers[source].read())
                for place in group.equities - equities.keys():
                    reading = equity_readers[place[0]].read(place[1], self._share_classes[place])
                    equities[place] = tasks.create_task(reading)
            for group in self._groups:
                tasks.create_task(_check_group(group, balances, equities, check))


async def _check_group(
    group: _Group,
    balances: Mapping[str, asyncio.Task[Any]],
    equities: Mapping[EquityPlace, asyncio.Task[Any]],
    check: Callable[[Sequence[ModeWatch], Readings], Awaitable[None]],
) -> None:
    readings = Readings(
        {source: await balances[source] for source in group.sources},
        {place: await equities[place] for place in group.equities},
    )
    for start in range(0, len(group.watches), _BATCH):
        await check(group.watches[start : start + _BATCH], readings)
        await asyncio.sleep(0)
