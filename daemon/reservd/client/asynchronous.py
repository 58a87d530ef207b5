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
    """Calls a daemon's HTTP API. An async context manager, for one event loop.

    Its methods raise `ApiUnavailableError` when the same call may be made again, `ApiRefusedError` when the daemon
    refuses, and `ApiError` when a response cannot be trusted. No error contains a token or a URL.
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
        """Create a client. Nothing is connected yet.

        Args:
            urls: The URL of the daemon, such as `http://127.0.0.1:9847`; several for daemons on one store.
            token: The bearer token from `reservd token`. None is needed if reads are open.
            token_file: A file with the token, read for each call.
            ca_file: Certificates of the authorities to trust in place of the system's.
            timeout_seconds: For a whole call, from the name lookup to the last byte.

        Raises:
            ConfigError: If an argument cannot be used.
        """
        self._connection = Connection(
            urls, token=token, token_file=token_file, ca_file=ca_file, timeout_seconds=timeout_seconds
        )

    async def __aenter__(self) -> Self:
        """Open the client."""
        await self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self._connection.close()

    async def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a call and return its result. The methods of the client use it."""
        return await self._connection.send(call)

    def walk(self, fetch: Callable[..., Awaitable[Page[ItemT]]], *args: Any, **filters: Any) -> AsyncIterator[ItemT]:
        """Yield all items of a list: `async for mode in client.walk(client.list_modes, status="low")`."""
        return walk_pages_async(fetch, *args, **filters)

    def follow_events(
        self, *, modes: Sequence[str] = (), last_event_id: str | None = None, backoff: Backoff | None = None
    ) -> EventFeed:
        """Return the feed of events as they are decided, to iterate over.

        Args:
            modes: Only events of these modes; of all when empty.
            last_event_id: Start after this event; with new events when None.
            backoff: How long to wait before reconnecting.
        """
        return EventFeed(self._connection, modes, last_event_id, backoff or Backoff())
