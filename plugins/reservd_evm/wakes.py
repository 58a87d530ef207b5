"""When to read the source: after each new block, and again if the endpoint did not have the block yet."""

import asyncio
from collections.abc import AsyncIterator

from reservd_evm.heads import NewHeads

_LOOKS = 3
"""How often an announced block is tried again: an endpoint that stays behind is left to the regular cycles."""


class Wakes:
    """New blocks of one node, for readings from another, which may get them a little later.

    Args:
        heads: The announced blocks.
    """

    def __init__(self, heads: NewHeads) -> None:
        self._heads = heads
        self._due: asyncio.Queue[None] = asyncio.Queue(maxsize=1)
        self._newest = 0
        self._looks = 0

    async def follow(self) -> AsyncIterator[None]:
        """Yield whenever the source is to be read. Ends only when it is closed."""
        hearing = asyncio.create_task(self._hear())
        hearing.add_done_callback(lambda _: self._wake())
        try:
            while True:
                await self._due.get()
                if hearing.done():
                    hearing.result()
                yield
        finally:
            hearing.cancel()
            await asyncio.wait({hearing})

    def was_read(self, number: int) -> None:
        """Note the block of a reading."""
        if number < self._newest and self._looks < _LOOKS:
            self._looks += 1
            self._wake()

    async def _hear(self) -> None:
        async for number in self._heads.follow():
            if number is not None:
                self._newest, self._looks = number, 0
            # While nobody takes it, the connection is not read.
            await self._due.put(None)

    def _wake(self) -> None:
        if not self._due.full():
            self._due.put_nowait(None)
