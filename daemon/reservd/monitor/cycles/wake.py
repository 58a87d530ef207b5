"""Checks modes ahead of their interval when a source announces a change.

Only an accelerator: cycles go on regardless, and find whatever is missed here.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain

import structlog

from reservd.monitor.clock import Clock
from reservd.monitor.cycles.affected import AffectedModes
from reservd.monitor.cycles.cycle import PATIENCE, Check, CyclePlan, Done
from reservd.monitor.cycles.standstill import FairCheck
from reservd.monitor.sources.changes import ChangeStream
from reservd.monitor.sources.readers import Sources
from reservd.monitor.sources.table import FailedTable
from reservd.monitor.watches.defects import Defects
from reservd.monitor.watches.readings import Readings
from reservd.monitor.watches.watch import ModeWatch

log = structlog.get_logger(__name__)

_APART_SECONDS = 0.25
"""The least time from one extra reading of a source, unless it sets a longer one, to the next, or to a cycle."""
_ANY_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class WakeUps:
    """Reads a source as soon as it announces a change, and checks the modes for which something is new.

    Args:
        sources: The readers.
        clock: Tells when a mode is checked.
        watches: Returns all modes.
        check: Checks some modes and returns those that need a second look.
        woken: Called with the name of a source whenever it announces a change.
        defects: Records defects in checks.
    """

    def __init__(
        self,
        sources: Sources,
        clock: Clock,
        watches: Callable[[], Iterable[ModeWatch]],
        check: Check,
        woken: Callable[[str], None],
        defects: Defects,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._watches = watches
        self._check_modes = check
        self._woken = woken
        self._defects = defects
        self._told: dict[str, asyncio.Event] = {}
        self._affected: AffectedModes | None = None
        self._ahead: Counter[str] = Counter()
        self._begun: Counter[float] = Counter()
        self._due_at: dict[float, float] = {}
        self._checked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start to listen to all sources that announce changes."""
        for source, reader in self._sources.balances.items():
            if reader.tells_changes:
                self._told[source] = asyncio.Event()
                stream = ChangeStream(source, reader, partial(self._hear, source))
                self._tasks += [asyncio.create_task(stream.follow()), asyncio.create_task(self._answer(source))]

    async def stop(self) -> None:
        """Stop listening, and close the streams."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def renew(self) -> None:
        """Forget which modes a change affects, because the modes have changed."""
        self._affected = None

    @contextmanager
    def cycle(self, interval: float, waits: Iterable[frozenset[str]]) -> Iterator[Done]:
        """Leave modes that this cycle has yet to check to the cycle.

        Args:
            interval: The interval of the cycle, in seconds.
            waits: The sources of each group of modes that are checked together.

        Yields:
            A function to call with the sources of a group once that has been checked.
        """
        ahead = Counter(chain.from_iterable(waits))
        self._ahead += ahead
        self._begun[interval] += 1
        self._due_at[interval] = time.monotonic() + interval

        def done(sources: frozenset[str]) -> None:
            ahead.subtract(sources)
            self._ahead.subtract(sources)
            if not all(map(self._ahead.get, sources)):
                self._checked.set()

        try:
            yield done
        finally:
            self._ahead -= ahead
            self._checked.set()

    @property
    def _modes(self) -> AffectedModes:
        if self._affected is None:
            self._affected = AffectedModes(self._watches())
        return self._affected

    def _hear(self, source: str) -> None:
        self._woken(source)
        self._told[source].set()

    async def _answer(self, source: str) -> None:
        """Read a source after it announces a change, unless a cycle is about to."""
        told = self._told[source]
        apart = max(_APART_SECONDS, self._sources.balances[source].seconds_between_changes)
        while True:
            await told.wait()
            followers = self._modes.of(source)
            while any(map(self._ahead.get, followers.sources)):
                # A cycle may have read the source before the change. Wait for the groups that read it, not for the
                # whole cycle.
                self._checked.clear()
                await self._checked.wait()
            told.clear()
            pause = _APART_SECONDS
            if followers.watches and not any(map(self._is_due, followers.intervals)):
                pause = apart
                try:
                    await self._wake(source)
                except Exception:  # a defect here must end neither the acceleration nor the daemon
                    log.exception("wakeup.failed", source=source)
            # All changes announced during the pause count as one.
            await asyncio.sleep(pause)

    def _is_due(self, interval: float) -> bool:
        """Return whether the next cycle is about to start."""
        due_at = self._due_at.get(interval)
        return due_at is not None and abs(due_at - time.monotonic()) < _APART_SECONDS

    async def _wake(self, source: str) -> None:
        begun = self._begun.copy()
        reader = self._sources.balances[source]
        # The reading behind the last check of the modes, by a cycle or by an earlier change.
        before = reader.latest
        if before is None:
            # A source that fails is read again by the next cycle, or less often.
            return
        reading = reader.read()
        table = await asyncio.shield(reading)
        if isinstance(table, FailedTable):
            return
        watches = {watch.mode: watch for watch in self._modes.at(source, table.news(before, *_ANY_TIME))}
        # For modes in doubt, a newer observation of the same amount is news.
        watches |= {watch.mode: watch for watch in self._modes.of(source).watches if watch.doubts}
        if watches:
            patience = PATIENCE * min(watch.interval_seconds for watch in watches.values())
            check = FairCheck(partial(self._check, begun))
            check.begin(patience)
            await CyclePlan(watches.values(), self._defects).run(
                self._sources, self._clock, check, patience, {source: reading}
            )

    async def _check(
        self, begun: Counter[float], watches: Sequence[ModeWatch], readings: Readings
    ) -> Sequence[ModeWatch]:
        """Check modes for which no cycle has started since: its readings are newer, and must not be overwritten."""
        free = [watch for watch in watches if self._begun[watch.interval_seconds] == begun[watch.interval_seconds]]
        doubtful = await self._check_modes(free, readings)
        for watch in free:
            # The next cycle compares its readings with those of the last cycle, not with these.
            watch.look_again()
        return doubtful
