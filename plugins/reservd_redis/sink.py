"""Adds events to a stream."""

import asyncio
from contextlib import suppress
from typing import Self

from redis import exceptions
from redis.asyncio import Redis

from reservd.plugin import CloudEvent, DeliveryError, EventSink, FailureReason
from reservd_redis.client import add_once, connect
from reservd_redis.config import RedisConfig

_CLOSE_SECONDS = 0.4
"""Shorter than the host's deadline."""
_NOT_SIGNED_IN = (exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError)
_FAILURES = (
    (exceptions.TimeoutError, FailureReason.TIMEOUT, "no answer in time"),
    (_NOT_SIGNED_IN, FailureReason.REJECTED, "the server refused the user name or password"),
    (exceptions.BusyLoadingError, FailureReason.REJECTED, "the server is still loading its data"),
    (exceptions.ConnectionError, FailureReason.UNREACHABLE, "no connection, or it broke"),
    (exceptions.NoPermissionError, FailureReason.REJECTED, "the user may not do this"),
    (exceptions.OutOfMemoryError, FailureReason.REJECTED, "the server is out of memory"),
)
"""The first that matches counts: in the library, some of these are subclasses of others."""


class RedisSink(EventSink[RedisConfig]):
    """Adds each event to a stream, once however often it is delivered."""

    PLUGIN_NAME = "redis"
    Config = RedisConfig

    def __init__(self, name: str, config: RedisConfig) -> None:
        super().__init__(name, config)
        self._client: Redis | None = None

    async def __aenter__(self) -> Self:
        """Create the pool of connections; nothing is connected yet."""
        self._client = connect(self.config)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection; do not wait for one that does not close in time."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(exceptions.RedisError, OSError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await client.aclose()

    async def deliver(self, event: CloudEvent) -> None:
        """Add the event; return once the server has it.

        Raises:
            DeliveryError: If the server did not confirm it. Always retryable: servers come back, and
                an operator can correct the cause of a refusal.
        """
        client = self._client
        if client is None:
            raise DeliveryError(FailureReason.INTERNAL, "the sink is not open")
        try:
            await add_once(client, self.config, event)
        except exceptions.ReadOnlyError:
            # The name in the URL may lead to another server by now, but open connections do not.
            await client.connection_pool.disconnect(inuse_connections=False)
            raise DeliveryError(FailureReason.REJECTED, "the server is a replica and accepts no writes") from None
        except exceptions.RedisError as error:
            raise _failure(error) from None


def _failure(error: exceptions.RedisError) -> DeliveryError:
    """Return the failure in our own words: the library's contain addresses, the server's may contain anything."""
    for kinds, reason, detail in _FAILURES:
        if isinstance(error, kinds):
            return DeliveryError(reason, detail)
    code = str(error).partition(" ")[0]
    return DeliveryError(FailureReason.REJECTED, f"the server answered {code if code.isupper() else 'an error'}")
