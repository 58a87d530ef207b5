"""One cycle: every source read once, all at the same time, each mode checked as soon as its own are there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from reservd.errors import CallError, FailureReason
from reservd.monitor.clock import Clock
from reservd.monitor.readers import BalanceReader, EquityReader, FailedTable, Table
from reservd.monitor.watch import EquityPlace, ModeWatch, Readings
from reservd.reserve.readings import Equity

_BATCH = 200
"""Modes checked between two looks at the rest of the event loop."""

Check = Callable[[Sequence[ModeWatch], Readings], Awaitable[Sequence[ModeWatch]]]


class Sources(NamedTuple):
    """What reads, by name."""

    balances: Mapping[str, BalanceReader]
    equities: Mapping[str, EquityReader]


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
        sources: Sources,
        clock: Clock,
        check: Check,
        patience_seconds: float | None = None,
    ) -> None:
        """Read every source once and hand each batch of modes to `check` once its sources are there.

        Args:
            sources: What reads.
            clock: Tells when a batch is checked.
            check: Checks some modes and returns those that want a second look. They get it at once,
                and one only: a flapping source is not asked without end.
            patience_seconds: How long a mode waits for its sources; until their own deadlines when
                None. A reading that takes longer goes on, and the next cycle joins it.
        """
        balances: dict[str, asyncio.Future[Table]] = {}
        equities: dict[EquityPlace, asyncio.Future[Equity | CallError]] = {}
        for group in self._groups:
            for source in group.sources - balances.keys():
                balances[source] = sources.balances[source].read()
            if group.equity not in equities:
                name, key = group.equity
                equities[group.equity] = sources.equities[name].read(key, self._share_classes[group.equity])

        # One batch at a time, or all groups whose sources answer at once would hold the loop together.
        turn = asyncio.Lock()

        async def check_group(group: _Group) -> None:
            mine = {source: balances[source] for source in group.sources}
            doubtful = await _check_group(group, mine, equities[group.equity], clock, check, turn, patience_seconds)
            if doubtful:
                await CyclePlan(doubtful).run(sources, clock, _once(check), patience_seconds)

        async with asyncio.TaskGroup() as tasks:
            for group in self._groups:
                tasks.create_task(check_group(group))


def _once(check: Check) -> Check:
    """Return a check after which nothing wants another look."""

    async def check_once(watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
        await check(watches, readings)
        return ()

    return check_once


async def _check_group(
    group: _Group,
    balances: Mapping[str, asyncio.Future[Table]],
    equity: asyncio.Future[Equity | CallError],
    clock: Clock,
    check: Check,
    turn: asyncio.Lock,
    patience_seconds: float | None,
) -> list[ModeWatch]:
    waited_for: list[asyncio.Future[Any]] = [*balances.values(), equity]
    await asyncio.wait(waited_for, timeout=patience_seconds)
    late = CallError(FailureReason.TIMEOUT, "no answer yet")
    tables = {source: reading.result() if reading.done() else FailedTable(late) for source, reading in balances.items()}
    known = equity.result() if equity.done() else late
    doubtful: list[ModeWatch] = []
    for start in range(0, len(group.watches), _BATCH):
        async with turn:
            now = clock.now()
            horizon = now.wall - group.max_staleness, now.wall + group.max_staleness
            doubtful += await check(group.watches[start : start + _BATCH], Readings(tables, known, now, *horizon))
            await asyncio.sleep(0)
    return doubtful
