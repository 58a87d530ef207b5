"""Limits how long a cycle works before other tasks on the event loop run."""

import asyncio
import time

_HELD_SECONDS = 0.002


class Pace:
    """Keeps work that consists of many small steps from blocking the event loop."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def keep(self) -> None:
        """Let other tasks run if the loop was busy for long. Call it after each step."""
        if time.monotonic() - self._since >= _HELD_SECONDS:
            await asyncio.sleep(0)
            self._since = time.monotonic()
