"""JSON-RPC 2.0 over HTTP, in batches. Every failure is a value or a `SourceError` with a closed reason."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import SecretStr

from reservd.errors import FailureReason, SourceError
from reservd.plugin.http import HttpClient, HttpError

_RATE_LIMIT_CODES = frozenset({-32005, -32016, 429})
"""EIP-1474's "limit exceeded", and what some providers use instead."""
_REVERTED = 3
"""The code of a reverted `eth_call`; some nodes report it only in their message."""
_SERVER_ERRORS = 500


class RpcCall(NamedTuple):
    """One method and its parameters."""

    method: str
    params: tuple[object, ...]


class RpcError(SourceError):
    """A JSON-RPC error from the node.

    Attributes:
        reverted: Whether it means that the contract itself reverted the call, so that other ways to ask are of no use.
    """

    def __init__(self, code: int, *, reverted: bool) -> None:
        reason = FailureReason.RATE_LIMITED if code in _RATE_LIMIT_CODES else FailureReason.REJECTED
        super().__init__(reason, f"JSON-RPC error {code!s:.12}")
        self.reverted = reverted


class RpcClient:
    """Calls one JSON-RPC endpoint.

    If an endpoint refuses a batch, its calls are repeated one by one, and it is sent no more batches. No error text
    holds the URL or the provider's message: either may contain a key.
    """

    def __init__(self, http: HttpClient, url: SecretStr, *, batch_size: int, concurrency: int) -> None:
        """Create a client.

        Args:
            http: The connection pool. Its owner opens and closes it.
            url: The endpoint.
            batch_size: Calls in one HTTP request; 1 sends no batches.
            concurrency: HTTP requests at the same time.
        """
        self._http = http
        self._url = url
        self._allowed_size = self._batch_size = batch_size
        self._free = asyncio.Semaphore(concurrency)

    def takes_at_once(self, count: int) -> bool:
        """Return whether that many calls fit into one HTTP request."""
        return count <= self._batch_size

    def forget(self) -> None:
        """Send batches again: another endpoint may answer now."""
        self._batch_size = self._allowed_size

    async def call(self, calls: Sequence[RpcCall]) -> list[object]:
        """Make all calls, in as few HTTP requests as the batch size allows.

        Returns:
            The JSON result of each call, in order, or its `SourceError`.

        Raises:
            SourceError: If no HTTP request got an answer with results.
        """
        size = self._batch_size
        parts = [calls[start : start + size] for start in range(0, len(calls), size)]
        answers = await asyncio.gather(*(self._send(part) for part in parts))
        failures = [answer for answer in answers if not isinstance(answer, list)]
        if len(failures) == len(parts):
            if size > 1 and len(calls) > 1 and _may_refuse_batches(failures[0]):
                return await self._call_one_by_one(calls, failures[0])
            raise _as_source_error(failures[0])
        return [
            result
            for part, answer in zip(parts, answers, strict=True)
            for result in (answer if isinstance(answer, list) else [_as_source_error(answer)] * len(part))
        ]

    async def _call_one_by_one(self, calls: Sequence[RpcCall], refusal: HttpError | SourceError) -> list[object]:
        """Repeat the calls of a refused batch; the first one alone, to see whether batches are the cause."""
        first = await self._send(calls[:1], single=True)
        if not isinstance(first, list) or isinstance(first[0], SourceError):
            raise _as_source_error(refusal)
        self._batch_size = 1
        return first + await self.call(calls[1:])

    async def _send(self, calls: Sequence[RpcCall], *, single: bool = False) -> list[object] | HttpError | SourceError:
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
            for number, call in enumerate(calls)
        ]
        single = single or self._batch_size == 1
        request = json.dumps(bodies[0] if single else bodies, separators=(",", ":")).encode()
        try:
            async with self._free:
                response = await self._http.post(self._url.get_secret_value(), request)
            answer = await asyncio.to_thread(response.json)
        except HttpError as error:
            return error
        return _results(answer, len(calls), single=single)


def _may_refuse_batches(failure: HttpError | SourceError) -> bool:
    """Return whether an endpoint without batches answers like this: with a 4xx status, or one error for all."""
    status = failure.status if isinstance(failure, HttpError) else None
    return failure.reason is FailureReason.REJECTED and (status is None or status < _SERVER_ERRORS)


def _as_source_error(failure: HttpError | SourceError) -> SourceError:
    return failure if isinstance(failure, SourceError) else failure.of_source()


def _results(answer: object, count: int, *, single: bool) -> list[object] | SourceError:
    """Return the results in the order of the calls, whatever the order of the answers."""
    if isinstance(answer, dict):
        if answer.get("error") is not None:
            failure = _failure(answer["error"])
            return [failure] if single and answer.get("id") is not None else failure
        answer = [answer] if single else answer
    if not isinstance(answer, list):
        return SourceError(FailureReason.INVALID_DATA, "the answer is not JSON-RPC")
    by_id = {item["id"]: item for item in answer if isinstance(item, dict) and type(item.get("id")) is int}
    return [_result(by_id.get(number)) for number in range(count)]


def _result(item: dict[str, Any] | None) -> object:
    if item is None:
        return SourceError(FailureReason.INVALID_DATA, "the node left the call unanswered")
    if item.get("error") is not None:
        return _failure(item["error"])
    if "result" not in item:
        return SourceError(FailureReason.INVALID_DATA, "a JSON-RPC answer has neither result nor error")
    return item["result"]


def _failure(error: object) -> SourceError:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(error, dict) or type(code) is not int:
        return SourceError(FailureReason.INVALID_DATA, "a JSON-RPC error has no code")
    return RpcError(code, reverted=code == _REVERTED or "revert" in f"{error.get('message')}".lower())
