"""One cycle: reads all sources concurrently, each once, and checks each mode as soon as its own sources are read."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from reservd.monitor.clock import Clock
from reservd.monitor.cycles.pace import Pace
from reservd.monitor.cycles.turns import Need, Turns
from reservd.monitor.sources.reader import one_cycle
from reservd.monitor.sources.readers import Sources
from reservd.monitor.sources.table import Table
from reservd.monitor.watches.defects import NO_DEFECTS, Defects, nothing_read
from reservd.monitor.watches.quiet import QuietModes
from reservd.monitor.watches.readings import EquityPlace, Readings, believe_readings
from reservd.monitor.watches.sharing import JointReadings, SharingGroup
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.tracker import Instant

_BATCH = 50
"""How many modes are checked in one step."""
PATIENCE = 0.8
"""How long modes wait for their sources, as a fraction of their interval."""
_LATE_INTERVALS = 2.5
"""For how many intervals a reading that modes gave up on is kept after it was last pending, at least."""

Check = Callable[[Sequence[ModeWatch], Readings], Awaitable[Sequence[ModeWatch]]]
Refreshed = Callable[[Sequence[str], Instant], None]
Done = Callable[[frozenset[str]], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """Modes that wait for the same sources and have the same limits on age and skew."""

    sources: frozenset[str]
    equity: EquityPlace
    watches: list[ModeWatch]

    @property
    def equities(self) -> Mapping[EquityPlace, str]:
        """Where the equity is read, with the share class."""
        return {self.equity: self.watches[0].config.share_class}

    def readings(self, reads: "_Turns", clock: Clock) -> Readings:
        """Return the readings for the modes, judged by their age now."""
        tables = {source: reads.table(source) for source in self.sources}
        # The policies agree on what matters here: modes with the same equity have the same currency.
        policy = self.watches[0].config.policy
        return believe_readings(tables, self.equity, reads.equity(self.equity), policy, clock.now())


_Any = _Group | SharingGroup
_Turns = Turns[_Any]


class CyclePlan:
    """Which modes wait for which sources. Made once for a set of modes, used every cycle.

    Args:
        watches: The modes. One mode of a group that shares accounts stands for all of the group.
        defects: Records defects.
        refreshed: Called with the modes that are skipped because nothing about them is new. If None, no mode is
            skipped: for a plan that runs once.
    """

    def __init__(self, watches: Iterable[ModeWatch], defects: Defects, refreshed: Refreshed | None = None) -> None:
        self._groups = _grouped(watches)
        self._defects = defects
        self._refreshed = refreshed
        self._quiet: dict[_Any, QuietModes] = {}
        if refreshed is not None:
            self._quiet = {group: QuietModes(group.watches) for group in self._groups if isinstance(group, _Group)}
        self._turn = asyncio.Lock()
        self._given_up: dict[Need, tuple[Instant, asyncio.Task[Any]]] = {}

    @property
    def waits(self) -> Iterator[frozenset[str]]:
        """Yield the balance sources that each group of modes waits for."""
        return (group.sources for group in self._groups)

    async def run(
        self,
        sources: Sources,
        clock: Clock,
        check: Check,
        patience_seconds: float | None = None,
        fresh: Mapping[str, asyncio.Task[Table]] = MappingProxyType({}),
        done: Done | None = None,
    ) -> None:
        """Read every source once and pass each batch of modes to `check` once its sources are read.

        Args:
            sources: The readers.
            clock: Tells when a batch is checked.
            check: Checks some modes and returns those that need a second look. They get it at once, together, and only
                one, so that a source is read at most twice a cycle however it flaps.
            patience_seconds: How long a mode waits for its sources; until their own deadlines when None. A reading that
                takes longer goes on, and the next cycle joins it, also if it has ended by then.
            fresh: Readings of balance sources that have just been made. These sources are read again only for a second
                look.
            done: Called with the sources of a group once its modes were checked and none needs a second look.
        """
        began = clock.now()
        late = self._take_given_up(sources, began, patience_seconds)
        async with one_cycle():
            first: _Turns = Turns(sources, fresh, {need: reading for need, (_, reading) in late.items()})
            async with one_cycle():
                second: _Turns = Turns(sources)
                async with asyncio.TaskGroup() as looking:
                    looking.create_task(self._look_again(second, clock, check))
                    await _add(first, self._groups)
                    first.close(patience_seconds)
                    async for group in first:
                        doubtful = await self._go_on(self._check(group, first, clock, check), group, clock, check)
                        await _add(second, _grouped(doubtful))
                        if done is not None and not doubtful:
                            done(group.sources)
                    second.close(patience_seconds)
        for need, reading in (first.given_up | second.given_up).items():
            before = late.get(need)
            self._given_up[need] = before if before is not None and before[1] is reading else (began, reading)

    def _take_given_up(
        self, sources: Sources, now: Instant, patience_seconds: float | None
    ) -> Mapping[Need, tuple[Instant, asyncio.Task[Any]]]:
        """Return the readings that cycles gave up on, and when each was last pending; none from before a standstill."""
        given_up, self._given_up = self._given_up, {}
        if not given_up or patience_seconds is None:
            return {}
        longest = self._keeps_for(sources, given_up, _LATE_INTERVALS * patience_seconds / PATIENCE)
        return {
            need: (pending_at if reading.done() else now, reading)
            for need, (pending_at, reading) in given_up.items()
            if now.monotonic - pending_at.monotonic <= longest
            and now.wall - pending_at.wall <= timedelta(seconds=longest)
        }

    def _keeps_for(self, sources: Sources, given_up: Iterable[Need], least_seconds: float) -> float:
        """Return for how many seconds readings are kept, so that those needed with them can come by their deadlines.

        Not for longer than half of the age that modes accept: by then they should have been read again.
        """
        deadline = max(sources.deadline_of(need) for need in given_up)
        accepted = min(watch.config.policy.max_staleness for group in self._groups for watch in group.watches)
        return max(least_seconds, min(least_seconds + deadline, accepted.total_seconds() / 2))

    async def _check(self, group: _Any, reads: _Turns, clock: Clock, check: Check) -> Sequence[ModeWatch]:
        """Check the modes of a group about which something is new; return those that need a second look."""
        if self._refreshed is None or isinstance(group, SharingGroup):
            return await _check_all(group, reads, clock, check)
        async with self._turn:
            readings = group.readings(reads, clock)
            quiet = self._quiet[group]
            awake, left_alone = quiet.wake(readings)
            if left_alone:
                self._refreshed(left_alone, readings.now)
            doubtful = await _check_batches(awake, readings, check, reads.pace)
            quiet.rest(awake, readings)
        return doubtful

    async def _look_again(self, turns: _Turns, clock: Clock, check: Check) -> None:
        """Give modes their second look. There is never a third."""
        async for group in turns:
            await self._go_on(_check_all(group, turns, clock, check), group, clock, check)

    async def _go_on(
        self, checking: Awaitable[Sequence[ModeWatch]], group: _Any, clock: Clock, check: Check
    ) -> Sequence[ModeWatch]:
        """Return the result of checking a group. A defect ends the check of its modes, and affects no other group."""
        try:
            return await checking
        except NO_DEFECTS:
            raise
        except Exception as defect:  # noqa: BLE001  # recorded
            self._defects.note_all([watch.mode for watch in group.watches], defect, clock.now())
            for watch in group.watches:
                await check([watch], nothing_read(watch, clock.now(), defect))
                watch.look_again()
            return ()


def _grouped(watches: Iterable[ModeWatch]) -> list[_Any]:
    """Group modes by what they wait for, with groups that share accounts last."""
    grouped: dict[tuple[Hashable, ...], _Group] = {}
    sharing: dict[SharingGroup, None] = {}
    for watch in watches:
        if watch.sharing is not None:
            sharing[watch.sharing] = None
            continue
        sources = frozenset(holding.source for holding in watch.holdings)
        policy = watch.config.policy
        key = sources, watch.equity, policy.max_staleness, policy.max_skew
        grouped.setdefault(key, _Group(sources, watch.equity, [])).watches.append(watch)
    return [*grouped.values(), *sharing]


async def _add(turns: _Turns, groups: Sequence[_Any]) -> None:
    for group in groups:
        turns.add(group)
        await turns.pace.keep()


async def _check_all(group: _Any, reads: _Turns, clock: Clock, check: Check) -> Sequence[ModeWatch]:
    """Check all modes of a group; return those that need a second look."""
    if isinstance(group, _Group):
        return await _check_batches(group.watches, group.readings(reads, clock), check, reads.pace)
    # Modes that share accounts are never skipped: something may be new for one of the others.
    tables = {source: reads.table(source) for source in group.sources}
    equities = {place: reads.equity(place) for place in group.equities}
    joint = JointReadings(group, tables, equities, clock.now())
    doubtful: list[ModeWatch] = []
    for watch in group.watches:
        doubtful += await check([watch], joint.readings(watch))
    return doubtful


async def _check_batches(watches: Sequence[ModeWatch], readings: Readings, check: Check, pace: Pace) -> list[ModeWatch]:
    doubtful: list[ModeWatch] = []
    for start in range(0, len(watches), _BATCH):
        doubtful += await check(watches[start : start + _BATCH], readings)
        await pace.keep()
    return doubtful
