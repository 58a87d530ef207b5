"""The client for code that uses `await`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from reservd.client.backoff import Backoff
from reservd.client.calls import AnswerT, Call
from reservd.client.connection import TIMEOUT_SECONDS, Connection
from reservd.client.feed import EventFeed
from reservd.client.operations import Operations
from reservd.client.paging import Page, walk_pages_async

ItemT = TypeVar("ItemT")


class AsyncClient(Operations):
    """Asks a daemon by its HTTP API; an async context manager, for one event loop.

    Its methods raise `ApiUnavailableError` where the same may be asked again, `ApiRefusedError` where the daemon
    will not, and `ApiError` where an answer cannot be believed. None of them tells a token or a URL.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        *,
        token: str | None = None,
        token_file: Path | str | None = None,
        ca_file: Path | str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        """Prepare one; nothing is connected yet.

        Args:
            urls: Where the daemon is, such as `http://127.0.0.1:9847`; several for daemons on one store.
            token: Its bearer token, which `reservd token` made; none is needed where reads are open.
            token_file: A file with the token, read for each call.
            ca_file: Certificates of the authorities to believe, in place of the system's.
            timeout_seconds: For a whole call, from the look-up of the name to the last byte.

        Raises:
            ConfigError: If something of that cannot be used.
        """
        self._connection = Connection(
            urls, token=token, token_file=token_file, ca_file=ca_file, timeout_seconds=timeout_seconds
        )

    async def __aenter__(self) -> Self:
        """Open it."""
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._connection.close()

    async def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a call and return its answer; its methods do so."""
        return await self._connection.send(call)

    def walk(self, fetch: Callable[..., Awaitable[Page[ItemT]]], *args: Any, **filters: Any) -> AsyncIterator[ItemT]:
        """Yield all that a list has: `async for mode in client.walk(client.list_modes, status="low")`."""
        return walk_pages_async(fetch, *args, **filters)

    def follow_events(
        self, *, modes: Sequence[str] = (), last_event_id: str | None = None, backoff: Backoff | None = None
    ) -> EventFeed:
        """Return the events as they are decided, to iterate over.

        Args:
            modes: Of these only; of all when empty.
            last_event_id: Begin with what came after that event; with what comes now when None.
            backoff: How long to wait before a lost connection is made again.
        """
        return EventFeed(self._connection, modes, last_event_id, backoff or Backoff())
