"""The clocks, in one place so that tests can replace them."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from reservd.reserve.tracker import Instant


class Clock(Protocol):
    """Tells the moment."""

    def now(self) -> Instant:
        """Return the moment on the wall's clock, aware UTC, and on the monotonic one."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> Instant:
        """Return the moment."""
        return Instant(datetime.now(UTC), time.monotonic())


class SteadyClock:
    """A clock that goes on as it began, however the one that it was set by is set meanwhile.

    Args:
        clock: Tells both times.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return self._began.wall + timedelta(seconds=self._clock.now().monotonic - self._began.monotonic)

    def ahead(self) -> timedelta:
        """Return how far it is ahead of the other: above 0 when that was set back, below when forward."""
        return self.now() - self._clock.now().wall
