"""Keeps one connection while it works, and opens another when it does not."""

import asyncio

from reservd.plugin import DeliveryError, FailureReason
from reservd_nats.config import NatsServerConfig
from reservd_nats.connection import Connection

_CLOSE_SECONDS = 0.4
"""Shorter than the host's deadline."""


class ConnectionKeeper:
    """Connects with the first message.

    Args:
        config: The server.
        stream: The stream that must take what is published; any if None.
    """

    def __init__(self, config: NatsServerConfig, stream: str | None = None) -> None:
        self._config = config
        self._stream = stream
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Close the connection; do not wait for one that does not close in time."""
        self.discard(self._connection)
        if self._closing:
            await asyncio.wait(self._closing, timeout=_CLOSE_SECONDS)

    async def publish(self, subject: str, body: bytes, headers: dict[str, str]) -> None:
        """Publish one message; raises as `Connection.publish` does."""
        connection = await self._connected()
        try:
            await connection.publish(subject, body, headers)
        except BaseException as error:
            self._doubt(connection, error)
            raise

    async def request(self, subject: str, body: bytes, headers: dict[str, str]) -> bytes:
        """Send one message and return the answer; raises as `Connection.request` does."""
        connection = await self._connected()
        try:
            return await connection.request(subject, body, headers)
        except BaseException as error:
            self._doubt(connection, error)
            raise

    def _doubt(self, connection: Connection, error: BaseException) -> None:
        """Stop using a connection whose server may hang."""
        timed_out = isinstance(error, DeliveryError) and error.reason is FailureReason.TIMEOUT
        if timed_out or isinstance(error, asyncio.CancelledError):  # by the host, at its deadline
            self.discard(connection)

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is not None and not self._connection.broken:
                return self._connection
            self.discard(self._connection)
            connection = Connection(self._config, self._stream)
            try:
                await connection.open()
            except BaseException:
                self.discard(connection)
                raise
            self._connection = connection
            return connection

    def discard(self, connection: Connection | None) -> None:
        """Close a connection in the background, and stop using it."""
        if connection is None:
            return
        if connection is self._connection:
            self._connection = None
        task = asyncio.create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
