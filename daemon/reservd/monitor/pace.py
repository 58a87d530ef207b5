"""How long a cycle works before others on the event loop have their turn."""

import asyncio
import time

_HELD_SECONDS = 0.002


class Pace:
    """Keeps work of many small steps from holding the event loop."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def keep(self) -> None:
        """Let others have their turn, if the loop was held for long. To be called after each step."""
        if time.monotonic() - self._since >= _HELD_SECONDS:
            await asyncio.sleep(0)
            self._since = time.monotonic()
