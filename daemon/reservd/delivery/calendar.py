"""The time by which the age of what is stored is told, however the machine's clock is set."""

from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from reservd.monitor.clock import Clock

_SLEW = timedelta(seconds=1)
"""A clock that differs by less from what it showed before was not set."""


class _Setting(NamedTuple):
    """How a clock was set: what it showed when the monotonic one showed 0, and when it was last seen so."""

    zero: datetime
    seen_at: float


class Calendar:
    """Tells a time that makes nothing older than it is.

    A clock that is set forward by a day, as at the boot of a machine without one, must neither end the tries of
    a fresh alarm nor have history removed. What was decided before a clock was set is measured by the time that
    has passed since, and what was decided after by the clock: the lesser age holds. Of a clock that is set again
    and again, what it showed at the start counts, and all that it showed lately.

    Args:
        clock: Tells both.
        memory: For how long it counts what a clock showed that was behind; by then what was decided under it is
            as old as it looks.
    """

    def __init__(self, clock: Clock, memory: timedelta = timedelta(0)) -> None:
        self._clock = clock
        self._memory_seconds = memory.total_seconds()
        self._began = clock.now()
        self._settings: deque[_Setting] = deque()

    def now(self) -> datetime:
        """Return the earliest of what the clock says and what it would say had nobody set it since it was seen."""
        now = self._clock.now()
        self._look(now.wall - timedelta(seconds=now.monotonic), now.monotonic)
        began = self._began.wall + timedelta(seconds=now.monotonic - self._began.monotonic)
        lately = self._settings[0].zero + timedelta(seconds=now.monotonic)
        return min(now.wall, began, lately)

    def _look(self, zero: datetime, seen_at: float) -> None:
        """Note how the clock is set. Those kept are in the order in which they were seen, each later than the last."""
        while self._settings and self._settings[-1].zero > zero - _SLEW:
            zero = min(zero, self._settings.pop().zero)
        self._settings.append(_Setting(zero, seen_at))
        while seen_at - self._settings[0].seen_at > self._memory_seconds:
            self._settings.popleft()
