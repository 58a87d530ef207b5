"""A clock that a test advances."""

from reservd.monitor.clock import SystemClock
from reservd.reserve.state import Instant


class HandClock(SystemClock):
    """The machine's clocks; `advance` moves the monotonic one, so readings are always new."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def now(self) -> Instant:
        now = super().now()
        return Instant(now.wall, now.monotonic + self._ahead)
