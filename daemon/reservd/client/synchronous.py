"""The client for code that does not use `await`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from reservd.client.asynchronous import AsyncClient
from reservd.client.backoff import Backoff
from reservd.client.calls import AnswerT, Call
from reservd.client.connection import TIMEOUT_SECONDS
from reservd.client.feed import EventGap
from reservd.client.loop_thread import LoopThread
from reservd.client.operations import Operations
from reservd.client.paging import Page, walk_pages
from reservd.reserve.replenishment.event import AnyEvent

ItemT = TypeVar("ItemT")


class Client(Operations):
    """Calls a daemon's HTTP API and waits for the results. A context manager, for any number of threads.

    It runs the async client on a thread of its own. Arguments and errors are those of `AsyncClient`.
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
        """Create a client. Nothing is connected yet. See `AsyncClient`."""
        self._client = AsyncClient(
            urls, token=token, token_file=token_file, ca_file=ca_file, timeout_seconds=timeout_seconds
        )
        self._thread = LoopThread()

    def __enter__(self) -> Self:
        """Open the client."""
        self._thread.start()
        self._thread.run(self._client.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection, and end the thread."""
        try:
            self._thread.run(self._client.__aexit__(kind, error, trace))
        finally:
            self._thread.close()

    def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a call and return its result. The methods of the client use it."""
        return self._thread.run(self._client.send(call))

    def walk(self, fetch: Callable[..., Page[ItemT]], *args: Any, **filters: Any) -> Iterator[ItemT]:
        """Yield all items of a list: `for mode in client.walk(client.list_modes, status="low")`."""
        return walk_pages(fetch, *args, **filters)

    def follow_events(
        self, *, modes: Sequence[str] = (), last_event_id: str | None = None, backoff: Backoff | None = None
    ) -> Iterator[AnyEvent | EventGap]:
        """Yield events as they are decided, for as long as more are wanted; see `AsyncClient`."""
        events = aiter(self._client.follow_events(modes=modes, last_event_id=last_event_id, backoff=backoff))

        async def following() -> AnyEvent | EventGap:
            return await anext(events)

        try:
            while True:
                yield self._thread.run(following())
        finally:
            if self._thread.running:  # else it was closed with the client
                self._thread.run(events.aclose())
