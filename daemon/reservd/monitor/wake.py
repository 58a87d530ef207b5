"""Checks modes ahead of their interval when a source announces a change.

An accelerator only: cycles go on as if it were not there, and what is missed here they find.
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

from reservd.monitor.affected import AffectedModes
from reservd.monitor.changes import ChangeStream
from reservd.monitor.clock import Clock
from reservd.monitor.cycle import PATIENCE, Check, CyclePlan, Done
from reservd.monitor.defects import Defects
from reservd.monitor.readings import Readings
from reservd.monitor.standstill import FairCheck
from reservd.monitor.table import FailedTable
from reservd.monitor.turns import Sources
from reservd.monitor.watch import ModeWatch

log = structlog.get_logger(__name__)

_APART_SECONDS = 0.25
"""Least time between two extra readings of a source that names no longer one, and from one to a cycle that reads it
anyway."""
_ANY_TIME = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class WakeUps:
    """Reads a source as soon as it tells of a change, and has the modes checked that something is new for.

    Args:
        sources: What reads.
        clock: Tells when a mode is checked.
        watches: Returns all modes.
        check: Checks some modes and returns those that want a second look.
        woken: Hears the name of a source whenever it told of a change.
        defects: Takes what goes wrong in checks.
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
        """Begin to listen to all sources that tell of changes."""
        for source, reader in self._sources.balances.items():
            if reader.tells_changes:
                self._told[source] = asyncio.Event()
                stream = ChangeStream(source, reader, partial(self._hear, source))
                self._tasks += [asyncio.create_task(stream.follow()), asyncio.create_task(self._answer(source))]

    async def stop(self) -> None:
        """Listen no more, and close the streams."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def renew(self) -> None:
        """Look at the modes anew: they are others now."""
        self._affected = None

    @contextmanager
    def cycle(self, interval: float, waits: Iterable[frozenset[str]]) -> Iterator[Done]:
        """Keep away from modes whose own cycle, which runs within, has yet to check them.

        Args:
            interval: Theirs.
            waits: The sources of each group of modes that are checked together.

        Yields:
            What to call with the sources of a group once it was checked.
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
        """Read a source once it told of a change, and no cycle does so anyway."""
        told = self._told[source]
        apart = max(_APART_SECONDS, self._sources.balances[source].seconds_between_changes)
        while True:
            await told.wait()
            followers = self._modes.of(source)
            while any(map(self._ahead.get, followers.sources)):
                # A cycle may have read the source before the change. Others that it waits for are no reason to wait.
                self._checked.clear()
                await self._checked.wait()
            told.clear()
            pause = _APART_SECONDS
            if followers.watches and not any(map(self._is_due, followers.intervals)):
                pause = apart
                try:
                    await self._wake(source)
                except Exception:  # a defect here must not end the acceleration, let alone the daemon
                    log.exception("wakeup.failed", source=source)
            # What is told meanwhile is one change.
            await asyncio.sleep(pause)

    def _is_due(self, interval: float) -> bool:
        """Whether the next cycle is about to begin."""
        due_at = self._due_at.get(interval)
        return due_at is not None and abs(due_at - time.monotonic()) < _APART_SECONDS

    async def _wake(self, source: str) -> None:
        begun = self._begun.copy()
        reader = self._sources.balances[source]
        # What the modes were last checked with, whether by a cycle or here.
        before = reader.latest
        if before is None:
            # A source that fails is asked again by the next cycle, or less often.
            return
        reading = reader.read()
        table = await asyncio.shield(reading)
        if isinstance(table, FailedTable):
            return
        watches = {watch.mode: watch for watch in self._modes.at(source, table.news(before, *_ANY_TIME))}
        # The same amount, observed anew, is news for those that doubt it.
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
        """Check modes of which no cycle has begun since, for that read later: what is older must not come after it."""
        free = [watch for watch in watches if self._begun[watch.interval_seconds] == begun[watch.interval_seconds]]
        doubtful = await self._check_modes(free, readings)
        for watch in free:
            # The next cycle compares with the one before it, not with what was read here.
            watch.look_again()
        return doubtful
