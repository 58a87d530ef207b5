"""Balance streams of one key: one per kind of account, for any number of listeners."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from reservd.plugin import FailureReason
from reservd_ccxt.errors import ExchangeError

Params = Mapping[str, Any]


class BalanceStreams:
    """Follows balances for all listeners.

    A stream is one task that outlives its listeners: ccxt returns the same future to all who wait for a balance, and
    if one of them went away, that would cancel it for the others.
    """

    def __init__(self, follow: Callable[[Params], Awaitable[None]]) -> None:
        """Prepare.

        Args:
            follow: Returns when a balance of the account with these parameters has changed.
        """
        self._follow = follow
        self._streams: dict[str, asyncio.Task[None]] = {}
        self._listeners: set[asyncio.Event] = set()

    async def listen(self, accounts: Sequence[Params]) -> AsyncIterator[None]:
        """Yield at each change of one of the accounts; changes close together are one.

        Raises:
            ExchangeError: If a stream breaks.
        """
        streams = {self._stream(params) for params in accounts}
        changed = asyncio.Event()
        self._listeners.add(changed)
        try:
            while True:
                await changed.wait()
                changed.clear()
                for stream in streams:
                    if stream.done():
                        raise self._end_of(stream)
                yield None
        finally:
            self._listeners.discard(changed)

    def close(self) -> None:
        """End every stream."""
        for stream in self._streams.values():
            stream.cancel()

    def _stream(self, params: Params) -> asyncio.Task[None]:
        key = json.dumps(params, sort_keys=True)
        stream = self._streams.get(key)
        if stream is None or stream.done():
            stream = self._streams[key] = asyncio.create_task(self._run(params))
            stream.add_done_callback(self._tell)
        return stream

    async def _run(self, params: Params) -> None:
        while True:
            await self._follow(params)
            self._tell()

    def _tell(self, ended: asyncio.Task[None] | None = None) -> None:
        if ended is not None and not ended.cancelled():
            ended.exception()  # retrieved, whether or not there are listeners
        for changed in self._listeners:
            changed.set()

    def _end_of(self, stream: asyncio.Task[None]) -> BaseException:
        error = None if stream.cancelled() else stream.exception()
        if isinstance(error, ExchangeError):
            return ExchangeError(error.reason, error.detail)
        return error or ExchangeError(FailureReason.UNREACHABLE, "the balance stream was closed")
