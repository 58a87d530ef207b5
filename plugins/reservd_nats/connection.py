"""One connection to a NATS server, and its failures."""

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from nats import errors
from nats.aio.client import Client, RawCredentials
from nats.js.errors import APIError, NoStreamResponseError
from pydantic import SecretStr

from reservd.plugin import DeliveryError, FailureReason
from reservd_nats.config import NatsServerConfig

AnswerT = TypeVar("AnswerT")

_NAME = "reservd"
_CLOSE_SECONDS = 5.0
_MESSAGE_TOO_LARGE = 10054
"""JetStream's code for a message that is too large for the stream."""
_EXPECTED_STREAM = 10060
"""JetStream's code for a subject that belongs to another stream than the expected one."""

# It would repeat in its own words what a delivery's failure already says.
logging.getLogger("nats").setLevel(logging.CRITICAL)


class Connection:
    """A connection that is opened once and never reconnects: a broken one is replaced.

    nats-py can reconnect by itself, but would then publish later, and out of order, messages
    that were given up meanwhile.
    """

    def __init__(self, config: NatsServerConfig, stream: str | None = None) -> None:
        self._config = config
        self._stream = stream
        self._client = Client()
        self._jetstream = self._client.jetstream()
        self._last_error: Exception = errors.NoServersError()
        self._broken: asyncio.Future[DeliveryError] = asyncio.get_running_loop().create_future()

    @property
    def broken(self) -> bool:
        """Whether it can no longer publish."""
        return self._broken.done()

    async def open(self) -> None:
        """Connect to one of the servers and sign in.

        Raises:
            DeliveryError: If none accepts the connection. It must be closed then as well.
        """
        config = self._config
        attempt_seconds = config.timeout / (len(config.servers) + 1)
        credentials = _plain(config.credentials)
        try:
            await self._client.connect(
                [url.get_secret_value() for url in config.servers],
                name=_NAME,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=attempt_seconds,  # type: ignore[arg-type]  # seconds, fractions too
                flush_timeout=config.timeout,
                error_cb=self._on_error,
                closed_cb=self._on_closed,
                user=_plain(config.user),
                password=_plain(config.password),
                token=_plain(config.token),
                user_credentials=RawCredentials(credentials) if credentials is not None else None,
                tls=_tls_context(config.ca_file) if config.ca_file is not None else None,
                tls_handshake_first=config.tls_first,
            )
        except errors.NoServersError:
            raise _not_connected(self._last_error) from None
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001  # each has its reason
            raise _not_connected(error) from None

    async def publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish one message; return once a stream has it.

        Raises:
            DeliveryError: If no stream acknowledged the message.
        """
        await self._unless_broken(self._publish(subject, body, headers))

    async def request(self, subject: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """Send one message to whoever serves the subject, and return the answer.

        Raises:
            DeliveryError: If nobody answered.
        """
        return await self._unless_broken(self._request(subject, body, headers))

    async def _unless_broken(self, work: Coroutine[Any, Any, AnswerT | DeliveryError]) -> AnswerT:
        sending = asyncio.ensure_future(work)
        waited_for: set[asyncio.Future[Any]] = {sending, self._broken}
        try:
            # Without this, nats-py lets a request wait for its full time after the connection was lost.
            await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
            answer = sending.result() if sending.done() else self._broken.result()
        finally:
            sending.cancel()
        if isinstance(answer, DeliveryError):
            raise answer
        return answer

    async def close(self) -> None:
        """Close it, if it was opened. Never raises."""
        with suppress(Exception):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._client.close()

    async def _publish(self, subject: str, body: bytes, headers: Mapping[str, str]) -> DeliveryError | None:
        """Return the failure instead of raising it: nobody may be waiting for it any more."""
        config = self._config
        try:
            await self._jetstream.publish(
                subject, body, timeout=config.timeout, stream=self._stream, headers=dict(headers)
            )
        except Exception as error:  # noqa: BLE001  # each has its reason
            return _not_published(error, subject)
        return None

    async def _request(self, subject: str, body: bytes, headers: Mapping[str, str]) -> bytes | DeliveryError:
        """Return the failure instead of raising it: nobody may be waiting for it any more."""
        try:
            answer = await self._client.request(subject, body, timeout=self._config.timeout, headers=dict(headers))
        except errors.NoRespondersError:
            return DeliveryError(FailureReason.UNREACHABLE, f"nobody serves the subject {subject}")
        except TimeoutError:
            return DeliveryError(FailureReason.TIMEOUT, "nobody answered in time")
        except Exception as error:  # noqa: BLE001  # each has its reason
            return _not_published(error, subject)
        return answer.data

    async def _on_error(self, error: Exception) -> None:
        self._last_error = error
        if "permissions violation" in str(error).lower():  # then the server sends no other answer
            detail = "the user may not publish, or not receive what the stream answers"
            self._break(DeliveryError(FailureReason.REJECTED, detail))

    async def _on_closed(self) -> None:
        self._break(DeliveryError(FailureReason.UNREACHABLE, "the connection was lost"))

    def _break(self, failure: DeliveryError) -> None:
        if not self._broken.done():
            self._broken.set_result(failure)


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _tls_context(ca_file: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise DeliveryError(FailureReason.UNREACHABLE, f"ca_file: {_words(error)}") from None


def _not_connected(error: Exception) -> DeliveryError:
    """Return why connecting failed. Texts of the library may contain a URL."""
    if isinstance(error, TimeoutError):
        return DeliveryError(FailureReason.TIMEOUT, "no server answered in time")
    if isinstance(error, OSError):
        return DeliveryError(FailureReason.UNREACHABLE, _words(error))
    if "authorization" in str(error).lower():
        return DeliveryError(FailureReason.REJECTED, "the server refused the credentials")
    if isinstance(error, errors.NoServersError | errors.ConnectionClosedError | errors.StaleConnectionError):
        return DeliveryError(FailureReason.UNREACHABLE, "no server could be reached")
    if not isinstance(error, errors.Error):
        return DeliveryError(FailureReason.REJECTED, f"could not sign in: {type(error).__name__}")
    return DeliveryError(FailureReason.REJECTED, "the server refused the connection")


def _not_published(error: Exception, subject: str) -> DeliveryError:
    reason, retryable = FailureReason.REJECTED, True
    match error:
        case NoStreamResponseError():
            detail = f"no stream accepts the subject {subject}"
        case APIError(err_code=code) if code == _EXPECTED_STREAM:
            detail = f"another stream accepts the subject {subject}"
        case APIError(err_code=code):
            detail, retryable = f"the stream refused it: JetStream error {code}", code != _MESSAGE_TOO_LARGE
        case errors.MaxPayloadError():
            detail, retryable = "larger than the server accepts", False
        case TimeoutError():
            reason, detail = FailureReason.TIMEOUT, "no stream acknowledged it in time"
        case errors.Error() | OSError():
            reason, detail = FailureReason.UNREACHABLE, "the connection was lost"
        case ValueError():
            reason, detail = FailureReason.INVALID_DATA, "the acknowledgement cannot be read"
        case _:
            reason, detail = FailureReason.INTERNAL, type(error).__name__
    return DeliveryError(reason, detail, retryable=retryable)


def _words(error: OSError) -> str:
    if isinstance(error, socket.gaierror | ssl.SSLError):  # whose numbers are not the system's
        return (error.strerror or "TLS failed").lower()
    return os.strerror(error.errno).lower() if error.errno else "no connection"
