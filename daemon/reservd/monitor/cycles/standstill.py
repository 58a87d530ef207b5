"""Discards what was read while the process or its event loop stood still.

A process stops for seconds when its machine is migrated, suspended or swaps. When it resumes, the deadlines of its
calls have passed although the answers may have arrived, and earlier readings are old. No source is at fault.
"""

import time
from collections.abc import Sequence

from reservd.monitor.cycles.cycle import Check
from reservd.monitor.watches.readings import Readings
from reservd.monitor.watches.watch import ModeWatch

_LATE_SECONDS = 1.0
"""The delay that a process must exceed to count as stopped; on a machine that is merely busy, delays are shorter."""


class FairCheck:
    """Checks modes, except in the rest of a cycle in which the process stood still, which it leaves to the next one.

    It never skips two cycles in a row: otherwise a plugin that blocks the event loop in each of them would hide that
    all modes are unknown.

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
        """Start a cycle.

        Args:
            patience_seconds: How long its modes wait for their sources, and again for a second look.
        """
        self._void, self._excused = False, not self._void
        self._patience_seconds = patience_seconds
        self._since = time.monotonic()

    async def __call__(self, watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
        """Check some modes and return those that need a second look; or leave them all to the next cycle."""
        if self._excused and time.monotonic() - self._since > self._patience_seconds + _LATE_SECONDS:
            self._void = True
        if self._void:
            for watch in watches:
                watch.look_again()
            return ()
        doubtful = await self._check(watches, readings)
        self._since = time.monotonic()
        return doubtful
