"""One cycle: every source read once, all at the same time, each mode checked as soon as its own are there."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from reservd.errors import CallError, FailureReason
from reservd.monitor.clock import Clock
from reservd.monitor.quiet import QuietModes
from reservd.monitor.readers import BalanceReader, EquityReader, PriceReader, one_cycle
from reservd.monitor.sharing import JointReadings, SharingGroup
from reservd.monitor.table import FailedTable, Table
from reservd.monitor.watch import EquityPlace, ModeWatch, Need, Readings
from reservd.reserve.tracker import Instant

_BATCH = 200
"""Modes checked between two looks at the rest of the event loop."""
PATIENCE = 0.8
"""How long modes wait for their sources, as a part of their interval."""
_LATE = CallError(FailureReason.TIMEOUT, "no answer yet")

Check = Callable[[Sequence[ModeWatch], Readings], Awaitable[Sequence[ModeWatch]]]
Refreshed = Callable[[Sequence[str], Instant], None]
Reads = Mapping[Need, asyncio.Future[Any]]


class Sources(NamedTuple):
    """What reads, by name."""

    balances: Mapping[str, BalanceReader]
    equities: Mapping[str, EquityReader]
    prices: Mapping[str, PriceReader]


@dataclass(frozen=True, slots=True)
class _Group:
    """Modes that wait for the same sources and believe readings of the same age."""

    sources: frozenset[str]
    equity: EquityPlace
    max_staleness: timedelta
    watches: list[ModeWatch]

    @property
    def needs(self) -> Sequence[Need]:
        """What the modes wait for."""
        return [*self.sources, self.equity]

    def readings(self, reads: Reads, clock: Clock) -> Readings:
        """Return what was read for the modes, and how old it may be now."""
        now = clock.now()
        tables = {source: _result(reads[source], FailedTable(_LATE)) for source in self.sources}
        horizon = now.wall - self.max_staleness, now.wall + self.max_staleness
        return Readings(tables, _result(reads[self.equity], _LATE), now, *horizon)


class CyclePlan:
    """Which modes wait for which sources. Made once for a set of modes, used every cycle.

    Args:
        watches: The modes. Of those that share accounts, one stands for all.
        refreshed: Hears of the modes that are left alone because nothing of them is new. Without
            it none is left alone: for a plan that is run once.
    """

    def __init__(self, watches: Iterable[ModeWatch], refreshed: Refreshed | None = None) -> None:
        grouped: dict[tuple[frozenset[str], EquityPlace, timedelta], list[ModeWatch]] = {}
        sharing: dict[SharingGroup, None] = {}
        self._share_classes: dict[EquityPlace, str] = {}
        for watch in watches:
            if watch.sharing is not None:
                sharing[watch.sharing] = None
                continue
            sources = frozenset(holding.source for holding in watch.holdings)
            grouped.setdefault((sources, watch.equity, watch.config.policy.max_staleness), []).append(watch)
            self._share_classes[watch.equity] = watch.config.share_class
        for group in sharing:
            self._share_classes |= group.equities
        self._groups: list[_Group | SharingGroup] = [*(_Group(*key, members) for key, members in grouped.items())]
        self._refreshed = refreshed
        self._quiet = [QuietModes(group.watches) for group in self._groups] if refreshed is not None else []
        self._groups += sharing
        self._waiting: dict[Need, list[int]] = {}
        for index, each in enumerate(self._groups):
            for need in each.needs:
                self._waiting.setdefault(need, []).append(index)
        self._turn = asyncio.Lock()

    @one_cycle()
    async def run(
        self,
        sources: Sources,
        clock: Clock,
        check: Check,
        patience_seconds: float | None = None,
        fresh: Mapping[str, asyncio.Task[Table]] = MappingProxyType({}),
    ) -> None:
        """Read every source once and hand each batch of modes to `check` once its sources are there.

        Args:
            sources: What reads.
            clock: Tells when a batch is checked.
            check: Checks some modes and returns those that want a second look. They get it at once,
                and one only: a flapping source is not asked without end.
            patience_seconds: How long a mode waits for its sources; until their own deadlines when
                None. A reading that takes longer goes on, and the next cycle joins it.
            fresh: Balance sources that have just been read: not again, but for a second look.
        """
        reads: dict[Need, asyncio.Future[Any]] = {}
        arrived: asyncio.Queue[Need | None] = asyncio.Queue()
        for need in self._waiting:
            if isinstance(need, str):
                reads[need] = sources.balances[need].read(fresh.get(need))
            else:
                reads[need] = sources.equities[need[0]].read(need[1], self._share_classes[need])
            reads[need].add_done_callback(partial(_put, arrived, need))
        end = None
        if patience_seconds is not None:
            end = asyncio.get_running_loop().call_later(patience_seconds, arrived.put_nowait, None)
        lacking = {index: len(group.needs) for index, group in enumerate(self._groups)}
        try:
            async with asyncio.TaskGroup() as second_looks:
                while lacking:
                    for index in self._complete(await arrived.get(), lacking):
                        doubtful = await self._check_group(index, reads, clock, check)
                        if doubtful:
                            again = CyclePlan(doubtful).run(sources, clock, _once(check), patience_seconds)
                            second_looks.create_task(again)
                        # One group at a time, or all whose sources answer at once would hold the loop together.
                        await asyncio.sleep(0)
        finally:
            if end is not None:
                end.cancel()

    def _complete(self, need: Need | None, lacking: dict[int, int]) -> list[int]:
        """Take what has arrived, None when patience has ended, and return the groups that wait no longer."""
        if need is None:
            complete = list(lacking)
        else:
            waiting = [index for index in self._waiting[need] if index in lacking]
            for index in waiting:
                lacking[index] -= 1
            complete = [index for index in waiting if not lacking[index]]
        for index in complete:
            del lacking[index]
        return complete

    async def _check_group(self, index: int, reads: Reads, clock: Clock, check: Check) -> list[ModeWatch]:
        """Check those modes of a group of which something is new, and return those that want a second look."""
        group = self._groups[index]
        if isinstance(group, SharingGroup):
            return await _check_sharing(group, reads, clock, check)
        if self._refreshed is None:
            return await _check_batches(group.watches, group.readings(reads, clock), check)
        async with self._turn:
            readings = group.readings(reads, clock)
            quiet = self._quiet[index]
            awake, left_alone = quiet.wake(readings)
            if left_alone:
                self._refreshed(left_alone, readings.now)
            doubtful = await _check_batches(awake, readings, check)
            quiet.rest(awake, readings)
        return doubtful


async def _check_sharing(group: SharingGroup, reads: Reads, clock: Clock, check: Check) -> list[ModeWatch]:
    """Check modes that share accounts: all of them, as none rests where what another one needs may be new."""
    tables = {source: _result(reads[source], FailedTable(_LATE)) for source in group.sources}
    equities = {place: _result(reads[place], _LATE) for place in group.equities}
    joint = JointReadings(group, tables, equities, clock.now())
    doubtful: list[ModeWatch] = []
    for watch in group.watches:
        doubtful += await check([watch], joint.readings(watch))
    return doubtful


async def _check_batches(watches: Sequence[ModeWatch], readings: Readings, check: Check) -> list[ModeWatch]:
    doubtful: list[ModeWatch] = []
    for start in range(0, len(watches), _BATCH):
        if start:
            await asyncio.sleep(0)
        doubtful += await check(watches[start : start + _BATCH], readings)
    return doubtful


def _once(check: Check) -> Check:
    """Return a check after which nothing wants another look."""

    async def check_once(watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
        await check(watches, readings)
        return ()

    return check_once


def _put(queue: "asyncio.Queue[Need | None]", need: Need, _: asyncio.Future[Any]) -> None:
    queue.put_nowait(need)


def _result(reading: asyncio.Future[Any], late: object) -> Any:
    return reading.result() if reading.done() else late
