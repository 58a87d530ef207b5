"""The clocks, in one place so that tests can set them."""

import time
from datetime import UTC, datetime
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
