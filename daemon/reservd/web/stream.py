"""Server-sent events: every listener gets all events at its own pace."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import NamedTuple

import structlog

from reservd.delivery.envelope import wrap_any
from reservd.delivery.observer import DeliveryObserver
from reservd.errors import StoreError
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.database import Database
from reservd.store.letters import load_events_after
from reservd.store.queries import find_position, has_all_after

log = structlog.get_logger(__name__)

MAX_CLIENTS = 600
_MAX_WAITING = 256
_REMEMBERED = 2_000
_PAGE = 200
_HEARTBEAT_SECONDS = 15.0
_ADMITTED_SECONDS = 1.0
"""How long an admission is valid before the next check, which costs more than sending an event."""
_HEARTBEAT = b": alive\n\n"
_HELLO = b"retry: 2000\n\n"
_GAP = b'event: gap\ndata: {"detail": "not all that came after the last event is known here: some may be missed"}\n\n'


class _Frame(NamedTuple):
    """One event, encoded."""

    position: int
    """The position in the store, or the future one while the store is unavailable."""
    event: AnyEvent
    content: bytes
    """The content at the time of the decision."""

    @property
    def mode(self) -> str:
        """The mode of the event."""
        return self.event.strategy_mode


class _Client:
    """A listener."""

    def __init__(self, modes: Collection[str], still_admitted: Callable[[], Awaitable[bool]]) -> None:
        self._modes = frozenset(modes)
        self._still_admitted = still_admitted
        self._admitted_until = time.monotonic() + _ADMITTED_SECONDS
        self.waiting: asyncio.Queue[_Frame | None] = asyncio.Queue(_MAX_WAITING + 1)

    def wants(self, mode: str) -> bool:
        """Return whether the client listens to a mode."""
        return not self._modes or mode in self._modes

    def take(self, frame: _Frame) -> bool:
        """Queue an event. Return whether there was room."""
        if self.waiting.qsize() >= _MAX_WAITING:
            return False
        self.waiting.put_nowait(frame)
        return True

    async def may_listen(self) -> bool:
        """Return whether the client is still admitted."""
        now = time.monotonic()
        if now < self._admitted_until:
            return True
        self._admitted_until = now + _ADMITTED_SECONDS
        return await self._still_admitted()

    def end(self, *, at_once: bool) -> None:
        """Close the connection, at once or after the queued events."""
        while at_once and not self.waiting.empty():
            self.waiting.get_nowait()
        if not self.waiting.full():
            self.waiting.put_nowait(None)


class EventStream(DeliveryObserver):
    """Sends each event to all clients once it is stored, or once the store is known to be unavailable.

    A client that does not read is disconnected when its queue is full. It reconnects with the id of the last event that
    it has, and gets the events that it missed from the store.

    Args:
        database: The store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clients: set[_Client] = set()
        self._recent: deque[_Frame] = deque(maxlen=_REMEMBERED)
        self._last_changes: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether there is no room for another client."""
        return len(self._clients) >= MAX_CLIENTS

    def announced(self, position: int, event: AnyEvent) -> None:
        """Send an event to all clients that listen to its mode."""
        frame = _frame(position, event)
        self._recent.append(frame)
        if isinstance(event, ReserveEvent) and event.is_change:
            self._last_changes[event.strategy_mode] = event.sequence
        for client in [each for each in self._clients if each.wants(frame.mode)]:
            if not client.take(frame):
                self._clients.discard(client)
                client.end(at_once=True)
                log.warning("stream.client_dropped", waiting=_MAX_WAITING)

    def close(self) -> None:
        """Disconnect all clients: another daemon may have newer events."""
        for client in self._clients:
            client.end(at_once=False)
        self._clients.clear()
        self._recent.clear()
        self._last_changes.clear()

    async def listen(
        self, modes: Collection[str], last_id: str | None, still_admitted: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[bytes]:
        """Yield what to send to one client, until it is disconnected.

        Args:
            modes: The modes that it listens to; empty for all.
            last_id: The id of the last event that it has; None to start with new events.
            still_admitted: Returns whether it is still admitted. Called before sending, at most once a second.
        """
        client = _Client(modes, still_admitted)
        self._clients.add(client)
        try:
            yield _HELLO
            sent = 0
            if last_id is not None:
                async for position, content in self._missed(client, modes, last_id):
                    sent = position or sent
                    yield content
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT_SECONDS):
                        frame = await client.waiting.get()
                except TimeoutError:
                    if not await client.may_listen():
                        return
                    yield _HEARTBEAT
                    continue
                if frame is None or not await client.may_listen():
                    return
                if frame.position > sent:
                    yield frame.content
        finally:
            self._clients.discard(client)

    async def _missed(self, client: _Client, modes: Collection[str], last_id: str) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the position and content of the events after an event: from the store, then those not stored yet."""
        position = next((frame.position for frame in self._recent if frame.event.id == last_id), None)
        if position is None:
            try:
                async with self._database.read() as connection:
                    position = await find_position(connection, last_id)
                if position is not None:
                    async for at, content in self._replay(position, modes):
                        position = at or position
                        yield at, content
            except StoreError as error:
                log.warning("stream.replay_failed", error=str(error))
                position = None
        if position is None:
            yield 0, _GAP
        for frame in list(self._recent):
            if frame.position > (position or 0) and client.wants(frame.mode):
                yield frame.position, self._as_of_now(frame)

    async def _replay(self, last: int, modes: Collection[str]) -> AsyncIterator[tuple[int, bytes]]:
        """Yield the position and content of the stored events after a position; first a gap if some are missing."""
        async with self._database.read() as connection:
            whole = await has_all_after(connection, last)
        if not whole:
            yield 0, _GAP
        while True:
            async with self._database.read() as connection:
                page = await load_events_after(connection, last, _PAGE, list(modes))
            for position, event in page.items():
                last = position
                if event is not None:
                    yield position, _frame(position, event).content
            if len(page) < _PAGE:
                return

    def _as_of_now(self, frame: _Frame) -> bytes:
        """Return the content to send now for an event that was decided earlier."""
        event = frame.event
        if not isinstance(event, ReserveEvent) or self._last_changes.get(frame.mode, 0) <= event.sequence:
            return frame.content
        return _frame(frame.position, event.model_copy(update={"superseded": True})).content


def _frame(position: int, event: AnyEvent) -> _Frame:
    message = wrap_any(event)
    lines = (b"id: " + event.id.encode(), b"event: " + message.type.encode(), b"data: " + message.to_json())
    return _Frame(position, event, b"\n".join(lines) + b"\n\n")
