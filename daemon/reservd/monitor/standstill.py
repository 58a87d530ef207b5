"""A process that stands still, or whose event loop does: what it reads meanwhile decides nothing.

A machine that is moved, suspended or swaps stops a process for seconds. What it waited for has run out of time when it
goes on, though the answers may lie there, and what it read before is old. That is no fault of a source.
"""

import time
from collections.abc import Sequence

from reservd.monitor.cycle import Check
from reservd.monitor.readings import Readings
from reservd.monitor.watch import ModeWatch

_LATE_SECONDS = 1.0
"""On a machine that is only busy what is due comes sooner."""


class FairCheck:
    """Checks modes, but not in what is left of a cycle in which this process stood still: the next one decides.

    Never two cycles in a row: a plugin that blocks the event loop in each of them must not hide that all is unknown.

    Args:
        check: Checks some modes.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._patience_seconds = 0.0
        self._since = 0.0
        self._void = False
        self._excused = False

    def begin(self, patience_seconds: float) -> None:
        """Begin a cycle.

        Args:
            patience_seconds: How long its modes wait for their sources, and again for a second look.
        """
        self._void, self._excused = False, not self._void
        self._patience_seconds = patience_seconds
        self._since = time.monotonic()

    async def __call__(self, watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
        """Check some modes and return those that want a second look; or leave them to the next cycle."""
        if self._excused and time.monotonic() - self._since > self._patience_seconds + _LATE_SECONDS:
            self._void = True
        if self._void:
            for watch in watches:
                watch.look_again()
            return ()
        doubtful = await self._check(watches, readings)
        self._since = time.monotonic()
        return doubtful
