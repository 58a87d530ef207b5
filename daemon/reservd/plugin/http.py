"""HTTP for plugins: deadlines, size limits, no redirects, and failures with one of the closed reasons."""

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from types import TracebackType
from typing import Any, NamedTuple, NoReturn, Self

import aiohttp

from reservd.errors import CallError, FailureReason, SourceError
from reservd.reserve.amounts import MAX_MAGNITUDE
from reservd.wire.failures import name_failure, os_error, parse_retry_after

__all__ = ["AddressRefusedError", "HttpClient", "HttpError", "Response", "parse_retry_after"]

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
_USER_AGENT = "reservd"
_HTTP_OK = range(200, 300)
_TOO_MANY_REQUESTS = 429
_ERRORS = 400
_MAX_DIGITS = 9
_INVALID_URL = "the URL is not valid"
_LASTING = frozenset({400, 405, 410, 413, 414, 415, 422})
"""The request itself is refused. Other errors may go away: a token is renewed, a route is deployed."""


class HttpError(CallError):
    """A request that failed.

    Attributes:
        retryable: Whether the same request may succeed later.
        status: The status of the response; None when no complete response head arrived.
    """

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        *,
        retryable: bool,
        retry_after_seconds: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason, detail, retry_after_seconds=retry_after_seconds)
        self.retryable = retryable
        self.status = status

    @property
    def taken(self) -> bool:
        """Whether the server accepted the request by its status, so that only its response is unusable."""
        return self.status in _HTTP_OK

    def of_source(self) -> SourceError:
        """Return the error as a source raises it, with the wait that the server asked for, which the host respects."""
        after = self.retry_after_seconds
        detail = self.detail if after is None else f"{self.detail}, asked for a pause of {after:.0f} s"
        return SourceError(self.reason, detail, retry_after_seconds=after)


class AddressRefusedError(HttpError):
    """Nothing was sent: the client may connect to none of the host's addresses."""


class _AddressRefused(OSError):  # noqa: N818  # never leaves this module: an OSError, so that the next address is tried
    pass


class Response(NamedTuple):
    """A complete response with a 2xx status.

    Attributes:
        status: Its status.
        body: Its body, uncompressed.
        age_seconds: How long it was in a cache on the way, by its `Age` header (RFC 9111).
    """

    status: int
    body: bytes
    age_seconds: float = 0.0

    def true_at(self, asked_at: datetime) -> datetime:
        """Return when an undated response was true: the time of the request, minus its time in a cache."""
        return asked_at - timedelta(seconds=self.age_seconds)

    def json(self) -> Any:
        """Return the body's JSON. Numbers are `int` or `Decimal` from their text, never float.

        Raises:
            HttpError: If it is not JSON, or holds NaN or an infinity.
        """
        try:
            return json.loads(self.body, parse_float=_decimal, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            detail = f"not JSON: {error!s:.80}"
            raise HttpError(FailureReason.INVALID_DATA, detail, retryable=False, status=self.status) from None


class HttpClient:
    """The connection pool of one plugin instance.

    An async context manager. Its errors and logs never contain a URL's query or password, a header, or a body.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        headers: Mapping[str, str] | None = None,
        may_connect: Callable[[str], bool] | None = None,
        tls: ssl.SSLContext | bool = True,
    ) -> None:
        """Create a client.

        Args:
            timeout_seconds: For a whole request, from the name lookup to the last byte.
            max_response_bytes: The largest size of a response, uncompressed.
            headers: Sent with each request.
            may_connect: Returns whether to connect to an IP address. All are allowed without it.
            tls: The trusted certificates; the system's authorities unless given.
        """
        self._timeout_seconds = timeout_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._max_bytes = max_response_bytes
        self._headers = {"User-Agent": _USER_AGENT, **(headers or {})}
        self._may_connect = may_connect
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Create the connection pool. Nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=self._socket, ssl=self._tls),
            timeout=self._timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """Send a GET request. Raises the errors of `request`."""
        return await self.request("GET", url, headers=headers)

    async def post(self, url: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> Response:
        """Send a POST request with a JSON text. Raises the errors of `request`."""
        return await self.request(
            "POST", url, body=body, headers={"Content-Type": "application/json", **(headers or {})}
        )

    async def request(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        """Send one request and return its complete 2xx response. Redirects are not followed.

        Raises:
            AddressRefusedError: If the client may connect to none of the host's addresses.
            HttpError: For any other failure, with its reason.
        """
        if self._session is None:
            raise HttpError(FailureReason.INTERNAL, "the HTTP client is not open", retryable=False)
        try:
            async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as answer:
                if answer.status not in _HTTP_OK:
                    _refused(answer.status, answer.headers.get("Retry-After", ""))
                content = await self._bounded(answer)
        except TimeoutError:
            detail = f"no answer within {timedelta(seconds=self._timeout_seconds).total_seconds():g} s"
            raise HttpError(FailureReason.TIMEOUT, detail, retryable=True) from None
        except aiohttp.InvalidURL:
            raise HttpError(FailureReason.REJECTED, _INVALID_URL, retryable=False) from None
        except (aiohttp.ClientError, ssl.SSLError, OSError) as error:
            if isinstance(os_error(error), _AddressRefused):
                detail = "the host has no address that may be connected to"
                raise AddressRefusedError(FailureReason.REJECTED, detail, retryable=False) from None
            raise HttpError(FailureReason.UNREACHABLE, name_failure(error), retryable=True) from None
        except ValueError:  # last: a certificate error is a ValueError, too
            raise HttpError(FailureReason.REJECTED, _INVALID_URL, retryable=False) from None
        return Response(answer.status, content, _age(answer.headers.get("Age", "")))

    def _socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        """Return the socket for one connection.

        Called after the name is resolved, for each address just before the connection: no second answer of a name
        server can come between this check and the connection.
        """
        family, kind, protocol, _, address = address_info
        if self._may_connect is not None and not self._may_connect(address[0]):
            raise _AddressRefused
        return socket.socket(family, kind, protocol)

    async def _bounded(self, answer: aiohttp.ClientResponse) -> bytes:
        parts = bytearray()
        async for part in answer.content.iter_chunked(64 * 1024):
            parts += part
            if len(parts) > self._max_bytes:
                detail = f"the answer is larger than {self._max_bytes} bytes"
                raise HttpError(FailureReason.INVALID_DATA, detail, retryable=False, status=answer.status)
        return bytes(parts)


def _refused(status: int, retry_after: str) -> NoReturn:
    limited = status == _TOO_MANY_REQUESTS
    reason = FailureReason.RATE_LIMITED if limited else FailureReason.REJECTED
    retryable = status >= _ERRORS and status not in _LASTING
    after = parse_retry_after(retry_after)
    raise HttpError(reason, f"HTTP {status}", retryable=retryable, retry_after_seconds=after, status=status)


def _age(text: str) -> float:
    return float(text.strip()[:_MAX_DIGITS]) if text.strip().isdecimal() else 0.0


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"number out of range: {text:.40}") from None
    if abs(number.adjusted()) > 2 * MAX_MAGNITUDE:
        raise ValueError(f"number out of range: {text:.40}")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not valid JSON")
