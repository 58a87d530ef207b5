"""Measures the age of stored rows reliably when the machine's clock is changed."""

from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from reservd.monitor.clock import Clock

_SLEW = timedelta(seconds=1)
"""A smaller move against the monotonic clock is no change of the setting."""


class _Setting(NamedTuple):
    """A setting of the wall clock: its reading at monotonic second 0, and the monotonic second it was last seen."""

    zero: datetime
    seen_at: float


class AgeClock:
    """Returns a time at which no row looks older than it is.

    A clock that is set forward by a day, as happens at the boot of a machine without a battery, must neither end the
    retries of a fresh alarm nor prune history. The age of a row that was written before the change is measured by the
    time that has passed since; the age of a row that was written after it, by the clock. The lesser age counts. For a
    clock that is set repeatedly, this considers its setting at the start and every recent setting.

    Args:
        clock: The machine's wall and monotonic clocks.
        memory: How long to remember a setting that was behind. After that, a row that was written under it is as old as
            it looks.
    """

    def __init__(self, clock: Clock, memory: timedelta = timedelta(0)) -> None:
        self._clock = clock
        self._memory_seconds = memory.total_seconds()
        self._began = clock.now()
        self._settings: deque[_Setting] = deque()

    def now(self) -> datetime:
        """Return the earliest of the wall clock's time and its time under each remembered setting."""
        now = self._clock.now()
        self._look(now.wall - timedelta(seconds=now.monotonic), now.monotonic)
        began = self._began.wall + timedelta(seconds=now.monotonic - self._began.monotonic)
        lately = self._settings[0].zero + timedelta(seconds=now.monotonic)
        return min(now.wall, began, lately)

    def _look(self, zero: datetime, seen_at: float) -> None:
        """Record the current setting. Settings are kept in the order they were seen, each later than the one before."""
        while self._settings and self._settings[-1].zero > zero - _SLEW:
            zero = min(zero, self._settings.pop().zero)
        self._settings.append(_Setting(zero, seen_at))
        while seen_at - self._settings[0].seen_at > self._memory_seconds:
            self._settings.popleft()
