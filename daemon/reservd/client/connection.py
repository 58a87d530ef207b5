"""The HTTP connection to a daemon: deadlines, size limits, no redirects, and a small set of errors."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from yarl import URL

from reservd._version import __version__
from reservd.client.access import Token, check_urls, trust
from reservd.client.answers import is_good, read_answer, read_problem
from reservd.client.calls import AnswerT, Call
from reservd.errors import ApiError, ApiUnavailableError, FailureReason
from reservd.wire.failures import name_failure
from reservd.wire.problems import ProblemKind

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_MAX_PROBLEM_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_STANDBY = ProblemKind.STANDBY.code


class Connection:
    """Connections to one daemon, or to several on one store, one of which owns it.

    If a daemon cannot serve a call, the next one is tried: every call may be sent twice. The last one that answered is
    tried first.
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
        """Create a connection; see `AsyncClient`."""
        self._urls = check_urls(urls)
        self._token = Token(token, token_file)
        self._trust = trust(ca_file)
        self._timeout_seconds = timeout_seconds
        self._limits = aiohttp.ClientTimeout(total=timeout_seconds)
        self._preferred = 0
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Create the connection pool. Nothing is connected yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust),
            headers={"User-Agent": f"reservd/{__version__}"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(self, call: Call[AnswerT]) -> AnswerT:
        """Send a call to one daemon after the other until one answers.

        Raises:
            ApiUnavailableError: If none answers. Of several errors, that of the store's owner is raised.
            ApiError: If the daemon refuses, or its response cannot be trusted.
        """
        problem: ApiUnavailableError | None = None
        for _ in self._urls:
            try:
                return await self._send(call)
            except ApiUnavailableError as error:
                self.turn()
                problem = error if problem is None or problem.kind == _STANDBY else problem
        assert problem is not None  # noqa: S101  # there is a daemon to ask
        raise problem

    def turn(self) -> None:
        """Try the next daemon first from now on."""
        self._preferred = (self._preferred + 1) % len(self._urls)

    async def _send(self, call: Call[AnswerT]) -> AnswerT:
        headers = {"Accept": "application/json"}
        body = None
        if call.idempotency_key is not None:
            headers["Idempotency-Key"] = call.idempotency_key
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps({name: value for name, value in call.body.items() if value is not None}).encode()
        async with self._answer(call.method, call.target, headers, body) as answer:
            return read_answer(call.answer, await _bounded(answer, MAX_ANSWER_BYTES))

    @asynccontextmanager
    async def stream(
        self, target: str, headers: Mapping[str, str], idle_seconds: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the body of an endless response in parts as they arrive.

        Args:
            target: Path and query.
            headers: The headers of the request.
            idle_seconds: The longest time without data.

        Raises:
            ApiUnavailableError: If the connection breaks, or no data arrives for too long.
            ApiError: As in `send`.
        """
        limits = aiohttp.ClientTimeout(sock_connect=self._timeout_seconds, sock_read=idle_seconds)
        async with self._answer("GET", target, headers, None, limits) as answer:
            yield answer.content.iter_any()

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield a successful response. Errors while it is read are converted, too."""
        if self._session is None:
            raise RuntimeError("the client is not open: use it as a context manager")
        url = URL(self._urls[self._preferred] + target, encoded=True)
        sent = {**headers, **self._token.headers()}
        try:
            async with self._session.request(
                method, url, data=body, headers=sent, allow_redirects=False, timeout=limits or self._limits
            ) as answer:
                if not is_good(answer.status):
                    content = await _bounded(answer, _MAX_PROBLEM_BYTES)
                    raise read_problem(answer.status, content, answer.headers.get("Retry-After", ""))
                yield answer
        except TimeoutError:
            raise ApiUnavailableError(FailureReason.TIMEOUT, "the daemon did not answer in time") from None
        except aiohttp.InvalidURL:
            raise ApiError(FailureReason.REJECTED, "the URL is not valid") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ApiUnavailableError(FailureReason.UNREACHABLE, name_failure(error)) from None


async def _bounded(answer: aiohttp.ClientResponse, most: int) -> bytes:
    content = bytearray()
    async for part in answer.content.iter_chunked(_CHUNK_BYTES):
        content += part
        if len(content) > most:
            raise ApiError(FailureReason.INVALID_DATA, f"the answer is larger than {most} bytes", answer.status)
    return bytes(content)
