"""The producer in use: started when first needed, replaced after a failed delivery."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aiokafka import AIOKafkaProducer

from reservd.plugin import DeliveryError, FailureReason
from reservd_kafka.config import KafkaConfig

_CLIENT_ID = "reservd"
_CLOSE_SECONDS = 0.4
"""Shorter than the host's deadline."""
_REQUEST_PART = 0.4
"""Part of the timeout. aiokafka gives up on a message after at most two requests: with this it does so
before the deadline, and sends nothing that was given up."""

# It would repeat, as long as a broker is down, what a delivery's failure already says.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


class Producers:
    """The producer that deliveries share, and former ones that have yet to stop.

    Interrupting aiokafka while it starts or stops would leave a connection behind:
    both run in separate tasks, which end by themselves.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._current: asyncio.Task[AIOKafkaProducer] | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """Lend the started producer. After a failure the next call gets another one.

        Raises:
            KafkaError: If it cannot be started.
            DeliveryError: If the certificates cannot be read.
        """
        if self._current is None:
            self._current = asyncio.create_task(_start(self._config))
        current = self._current
        try:
            yield await asyncio.shield(current)
        except Exception:
            self._retire(current)
            raise
        except asyncio.CancelledError:
            if current.done():  # otherwise it continues to start, and the next delivery may wait for it
                self._retire(current)
            raise

    async def close(self) -> None:
        """Send what is left and stop; messages that wait for a broker expire by themselves."""
        if self._current is not None:
            self._retire(self._current)
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=_CLOSE_SECONDS)

    def _retire(self, starting: asyncio.Task[AIOKafkaProducer]) -> None:
        """Stop using a producer. It stops once its messages, of other modes too, are sent or given up."""
        if starting is not self._current:
            return
        self._current = None
        task = asyncio.create_task(_stop(starting))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


async def _start(config: KafkaConfig) -> AIOKafkaProducer:
    sign_in = {}
    if config.username is not None and config.password is not None:
        sign_in = {
            "sasl_mechanism": config.sasl_mechanism,
            "sasl_plain_username": config.username.get_secret_value(),
            "sasl_plain_password": config.password.get_secret_value(),
        }
    producer = AIOKafkaProducer(
        bootstrap_servers=config.bootstrap_servers,
        client_id=_CLIENT_ID,
        acks="all",
        request_timeout_ms=round(config.timeout * 1000 * _REQUEST_PART),
        security_protocol=("SASL_" if sign_in else "") + ("SSL" if config.tls else "PLAINTEXT"),
        ssl_context=await _tls_context(config) if config.tls else None,
        **sign_in,
    )
    try:
        await producer.start()
    except BaseException:
        await producer.stop()
        raise
    return producer


async def _stop(starting: asyncio.Task[AIOKafkaProducer]) -> None:
    with suppress(Exception):
        producer = await starting
        await producer.stop()


async def _tls_context(config: KafkaConfig) -> ssl.SSLContext:
    try:
        # Reading all authorities of the system takes milliseconds of CPU.
        return await asyncio.to_thread(ssl.create_default_context, cafile=config.ca_file)
    except OSError as error:
        why = (error.strerror or "no certificates").lower()
        raise DeliveryError(FailureReason.UNREACHABLE, f"ca_file: {why}") from None
