"""The time by which the age of what is stored is told, however the machine's clock is set."""

from datetime import datetime, timedelta

from reservd.monitor.clock import Clock


class Calendar:
    """Tells a time that makes nothing older than it is.

    A clock that is set forward by a day, as at the boot of a machine without one, must neither end the tries of
    a fresh alarm nor have history removed. What was decided before a clock was set is measured by the time that
    has passed since, and what was decided after by the clock: the lesser age holds.

    Args:
        clock: Tells both.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now()

    def now(self) -> datetime:
        """Return the earlier of what the clock says and what it would say had nobody set it."""
        now = self._clock.now()
        return min(now.wall, self._began.wall + timedelta(seconds=now.monotonic - self._began.monotonic))
