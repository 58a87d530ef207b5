"""The clocks, in one module so that tests can replace them."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from reservd.reserve.tracker import Instant


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> Instant:
        """Return the current time: wall-clock time in aware UTC, and monotonic seconds."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """Return the current time."""
        return Instant(datetime.now(UTC), time.monotonic())


class SteadyClock:
    """A clock that keeps its pace from its first reading on, whenever the machine's clock is set.

    Args:
        clock: The source of both times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return self._began.wall + timedelta(seconds=self._clock.now().monotonic - self._began.monotonic)

    def ahead(self) -> timedelta:
        """Return how far it is ahead of the wall clock: above 0 if that was set back, below 0 if it was set forward."""
        return self.now() - self._clock.now().wall
