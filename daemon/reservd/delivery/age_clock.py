"""A clock for the age of stored rows that holds when somebody sets the machine's clock."""

from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from reservd.monitor.clock import Clock

_SLEW = timedelta(seconds=1)
"""A clock that moved by less than this against the monotonic one was not set."""


class _Setting(NamedTuple):
    """How a clock was set: what it showed when the monotonic clock showed 0, and when this was last seen."""

    zero: datetime
    seen_at: float


class AgeClock:
    """Returns a time by which nothing looks older than it is.

    A clock that is set forward by a day, as happens at the boot of a machine without a battery, must neither end the
    retries of a fresh alarm nor prune history. What was decided before the clock was set is measured by the time that
    has passed since, and what was decided after by the clock: the lesser age holds. For a clock that is set
    repeatedly, what it showed at the start counts, and everything that it showed recently.

    Args:
        clock: The machine's wall and monotonic clocks.
        memory: How long a setting that was behind is remembered; after that, what was decided under it is as old as
            it looks.
    """

    def __init__(self, clock: Clock, memory: timedelta = timedelta(0)) -> None:
        self._clock = clock
        self._memory_seconds = memory.total_seconds()
        self._began = clock.now()
        self._settings: deque[_Setting] = deque()

    def now(self) -> datetime:
        """Return the earliest of what the clock shows and what it would show under each remembered setting."""
        now = self._clock.now()
        self._look(now.wall - timedelta(seconds=now.monotonic), now.monotonic)
        began = self._began.wall + timedelta(seconds=now.monotonic - self._began.monotonic)
        lately = self._settings[0].zero + timedelta(seconds=now.monotonic)
        return min(now.wall, began, lately)

    def _look(self, zero: datetime, seen_at: float) -> None:
        """Note how the clock is set. Settings are kept in the order they were seen, each later than the last."""
        while self._settings and self._settings[-1].zero > zero - _SLEW:
            zero = min(zero, self._settings.pop().zero)
        self._settings.append(_Setting(zero, seen_at))
        while seen_at - self._settings[0].seen_at > self._memory_seconds:
            self._settings.popleft()
