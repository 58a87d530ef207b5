"""A balance source that reports changes when a test says so."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from support.sources import ScriptedBalances


class TellingBalances(ScriptedBalances):
    """Yields a change for each `tell()`. On `end()`, `break_with` is raised, or the stream ends if it is None.

    Attributes:
        streams: The number of streams that were started.
        listening: Whether a stream is open.
        closing: Awaited when a stream is closed, if set.
    """

    def __init__(self, name: str, timeout: float = 5.0, **amounts: Any) -> None:
        super().__init__(name, timeout, **amounts)
        self.streams = 0
        self.listening = False
        self.break_with: BaseException | None = None
        self.closing: asyncio.Event | None = None
        self._told: asyncio.Queue[bool] = asyncio.Queue()

    def tell(self) -> None:
        """Report that a balance may have changed."""
        self._told.put_nowait(True)

    def end(self) -> None:
        """End the stream."""
        self._told.put_nowait(False)

    async def changes(self) -> AsyncIterator[None]:  # type: ignore[override]  # an async generator function returns one
        self.streams += 1
        self.listening = True
        try:
            while await self._told.get():
                yield
            if self.break_with is not None:
                raise self.break_with
        finally:
            self.listening = False
            if self.closing is not None:
                await self.closing.wait()
