"""The feed of events, through restarts and broken connections: none lost, none delivered twice."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlencode

import structlog
from pydantic import ValidationError

from reservd.client.backoff import Backoff
from reservd.client.calls import API_ROOT
from reservd.client.connection import Connection
from reservd.client.sse import Message, MessageParser
from reservd.errors import ApiUnavailableError
from reservd.reserve.models import EventType
from reservd.reserve.replenishment.event import REPLENISHMENT_CHANGED, AnyEvent
from reservd.wire.envelope import CloudEvent, ReplenishmentMessage

log = structlog.get_logger(__name__)

STREAM_PATH = "/events/stream"
IDLE_SECONDS = 45.0
"""Three times the longest silence of a daemon."""
_GAP = "gap"
_REMEMBERED = 2_000
_MESSAGES: dict[str, type[CloudEvent | ReplenishmentMessage]] = {
    **{f"reservd.{kind}.v1": CloudEvent for kind in EventType},
    f"reservd.{REPLENISHMENT_CHANGED}.v1": ReplenishmentMessage,
}


@dataclass(frozen=True, slots=True)
class EventGap:
    """Earlier events may have been missed: read the current state of the modes."""

    detail: str
    beginning: bool = False
    """Whether no event was received before: the feed starts with new events."""


class EventFeed:
    """The events of some modes, to iterate over with `async for` for as long as wanted.

    After a connection breaks, the feed reconnects with increasing waits and catches up on the events in between.

    Attributes:
        last_event_id: The id of the last event that was yielded: store it, and start from it after a restart.
        connected: Whether a daemon is connected and sends events.
    """

    def __init__(
        self, connection: Connection, modes: Sequence[str], last_event_id: str | None, backoff: Backoff
    ) -> None:
        self._connection = connection
        self._target = f"{API_ROOT}{STREAM_PATH}"
        if modes:
            self._target += "?" + urlencode([("mode", mode) for mode in modes])
        self._backoff = backoff
        self._given: OrderedDict[str, None] = OrderedDict()
        self._was_connected = self._lost = False
        self.last_event_id = last_event_id
        self.connected = False

    async def __aiter__(self) -> AsyncGenerator[AnyEvent | EventGap, None]:
        """Yield events, and a gap where some may have been missed.

        Raises:
            ApiError: If the daemon refuses: another attempt would fail the same way.
        """
        while True:
            wait: float | None = None
            try:
                async with aclosing(self._listen()) as items:
                    async for item in items:
                        yield item
                reason = "hung up"
            except ApiUnavailableError as error:
                reason, wait = str(error), error.retry_after_seconds
                self._connection.turn()
            if not self._lost:
                log.warning("stream.lost", reason=reason, after=self.last_event_id)
                self._lost = True
            await asyncio.sleep(self._backoff.next_seconds(wait))

    async def _listen(self) -> AsyncGenerator[AnyEvent | EventGap, None]:
        """Yield the items of one connection."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_event_id is not None:
            headers["Last-Event-ID"] = self.last_event_id
        async with self._connection.stream(self._target, headers, IDLE_SECONDS) as parts:
            if self._lost:
                log.info("stream.resumed", after=self.last_event_id)
                self._lost = False
            if self.last_event_id is None:
                yield EventGap("earlier events are unknown", beginning=not self._was_connected)
            self._was_connected = self.connected = True
            try:
                async for item in self._receive(parts):
                    yield item
            finally:
                self.connected = False

    async def _receive(self, parts: AsyncIterator[bytes]) -> AsyncIterator[AnyEvent | EventGap]:
        """Yield the items in the parts of a stream."""
        parser = MessageParser()
        greeted = False
        async for part in parts:
            if greeted:  # a daemon greets before it knows whether it can send events
                self._backoff.reset()
            greeted = True
            for message in parser.feed(part):
                item = self._read(message)
                if item is not None:
                    yield item

    def _read(self, message: Message) -> AnyEvent | EventGap | None:
        """Return the item in a message; None when it is a repetition, or of a kind that only a newer daemon has."""
        if message.event == _GAP:
            return EventGap("the daemon no longer has every event since the last one: some may have been missed")
        if message.last_event_id:
            self.last_event_id = message.last_event_id
        if message.event not in _MESSAGES or message.last_event_id in self._given:
            return None
        try:
            event: AnyEvent = _MESSAGES[message.event].model_validate_json(message.data).data
        except ValidationError as error:
            unread = error.error_count()
            log.warning("stream.event_unreadable", type=message.event, id=message.last_event_id, errors=unread)
            return EventGap(f"event {message.last_event_id} cannot be read")
        self._given[event.id] = None
        if len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        return event
