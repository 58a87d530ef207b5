"""One Prometheus server: the current value of an expression, and the age of the sample behind it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode, urlsplit, urlunsplit

from reservd.plugin import FailureReason, SourceError, parse_amount
from reservd.plugin.http import HttpClient, HttpError
from reservd_prometheus.config import PrometheusServerConfig

_PATH = "/api/v1/query"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_SECONDS = (10**9, 10**10)
"""2001 to 2286. Narrow, to catch a number that is not a time, or counts milliseconds."""
_DEADLINE_SHARE = 0.45
"""Part of a reading's deadline for one of its two requests: so a slow query fails alone, and in time to report it."""


class Measured(NamedTuple):
    """The value of an expression."""

    amount: Decimal
    observed_at: datetime
    """When the sample was taken, not when it was requested."""


class _Sample(NamedTuple):
    value: str
    evaluated_at: Decimal
    """Unix time."""


class PrometheusServer:
    """Queries one server. Used as an async context manager.

    No failure's text contains the URL, a query, or text from the server.
    """

    def __init__(self, config: PrometheusServerConfig) -> None:
        self._url = urlsplit(config.url.get_secret_value())
        timeout_seconds = config.timeout * _DEADLINE_SHARE
        self._http = HttpClient(timeout_seconds=timeout_seconds, headers=config.request_headers())

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._http.__aexit__(None, None, None)

    async def measure(self, query: str, observed_at: str | None = None) -> Measured:
        """Return the value of `query`, and its time.

        Args:
            query: PromQL that must return exactly one sample.
            observed_at: PromQL that must return one sample, a Unix time. Without it, the time of the
                sample that `query` selects; of a computed one, the time of evaluation.

        Raises:
            SourceError: If either returns no sample, several, or no number.
        """
        # A separate line for the bracket, because the query may end in a comment.
        taken = await self._sample(observed_at or f"timestamp(({query}\n))", "observed_at")
        # First the time, then the number at the same evaluation time: a sample that arrives in
        # between makes the number look older than it is, never newer.
        sample = await self._sample(query, "query", at=taken.evaluated_at)
        return Measured(_number(sample.value, "query"), _instant(_number(taken.value, "observed_at")))

    async def _sample(self, query: str, what: str, *, at: Decimal | None = None) -> _Sample:
        parameters = {"query": query} | ({"time": str(at)} if at is not None else {})
        asked = "&".join(filter(None, (self._url.query, urlencode(parameters))))
        url = urlunsplit(self._url._replace(path=self._url.path.rstrip("/") + _PATH, query=asked, fragment=""))
        try:
            document = (await self._http.get(url)).json()
        except HttpError as error:
            raise error.of_source() from None
        return _only_sample(document, what)


def _only_sample(document: Any, what: str) -> _Sample:
    """Return the one sample of an answer to an instant query.

    See https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries.

    Raises:
        SourceError: If there is not exactly one, or the server warns about it.
    """
    match document:
        case {"warnings": [_, *_]} | {"isPartial": True}:
            # Thanos, Mimir and remote reads warn when a part of the data did not answer.
            raise _invalid(f"{what}: the server warns that its answer may be incomplete")
        case {"status": "success", "data": {"resultType": "vector", "result": []}}:
            raise _invalid(f"{what}: no sample")
        case {"status": "success", "data": {"resultType": "vector", "result": [{"value": [at, str(value)]}]}}:
            if isinstance(at, int | Decimal) and not isinstance(at, bool):
                return _Sample(value, Decimal(at))
        case {"status": "success", "data": {"resultType": "vector", "result": [_, _, *_] as samples}}:
            raise _invalid(f"{what}: must give one sample, gave {len(samples)}")
        case {"status": "success", "data": {"resultType": "scalar" | "string" | "matrix" as kind}}:
            raise _invalid(f"{what}: must give an instant vector, gave a {kind}")
    raise _invalid(f"{what}: not the answer of a Prometheus to an instant query")


def _number(text: str, what: str) -> Decimal:
    try:
        return parse_amount(text)
    except ValueError:
        raise _invalid(f"{what}: must give a finite number, gave NaN, an infinity or one out of range") from None


def _instant(seconds: Decimal) -> datetime:
    if not _UNIX_SECONDS[0] <= seconds < _UNIX_SECONDS[1]:
        raise _invalid("observed_at: must give a Unix time in seconds")
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def _invalid(detail: str) -> SourceError:
    return SourceError(FailureReason.INVALID_DATA, detail)
