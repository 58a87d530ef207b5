"""Events on JetStream."""

import asyncio
from typing import Self

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason
from reservd_nats.config import NatsConfig
from reservd_nats.connection import Connection
from reservd_nats.subject import subject_of

CONTENT_TYPE = "application/cloudevents+json"
_CLOSE_SECONDS = 0.4
"""Less than what the host waits."""


class NatsSink(EventSink[NatsConfig]):
    """Publishes each event; it is delivered when a stream has acknowledged it."""

    PLUGIN_NAME = "nats"
    Config = NatsConfig

    def __init__(self, name: str, config: NatsConfig) -> None:
        super().__init__(name, config)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Connect with the first event, not now."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection; one that does not close in time is left to itself."""
        self._discard(self._connection)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    async def deliver(self, event: CloudEvent) -> None:
        """Publish the event under its id, by which the stream drops repetitions.

        Raises:
            DeliveryError: If no stream acknowledged it. Retryable unless the event is too large:
                servers come back, streams get made and permissions get mended.
        """
        subject = subject_of(self.config.subject, event.subject, event.data.event_type)
        connection = await self._connected()
        try:
            headers = {"Nats-Msg-Id": event.id, "Content-Type": CONTENT_TYPE}
            await connection.publish(subject, event.to_json(), headers)
        except DeliveryError as error:
            if error.reason is FailureReason.TIMEOUT:
                self._discard(connection)
            raise
        except asyncio.CancelledError:  # the deadline: the server may hang
            self._discard(connection)
            raise

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is not None and not self._connection.broken:
                return self._connection
            self._discard(self._connection)
            connection = Connection(self.config)
            try:
                await connection.open()
            except BaseException:
                self._discard(connection)
                raise
            self._connection = connection
            return connection

    def _discard(self, connection: Connection | None) -> None:
        """Close a connection in the background, and use it no more."""
        if connection is None:
            return
        if connection is self._connection:
            self._connection = None
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
