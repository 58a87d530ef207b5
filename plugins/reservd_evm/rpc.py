"""JSON-RPC 2.0 over HTTP, in batches; every failure is a value or a `SourceError` with a closed reason."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from pydantic import SecretStr

from reservd.plugin import CallError, FailureReason, SourceError
from reservd.plugin.http import HttpClient

_RATE_LIMIT_CODES = frozenset({-32005, -32016, 429})
"""EIP-1474's "limit exceeded", and what some providers answer in its place."""


class RpcCall(NamedTuple):
    """One method and its parameters."""

    method: str
    params: tuple[object, ...]


class RpcClient:
    """Calls one JSON-RPC endpoint.

    No failure's text holds the URL, or what the provider wrote: either may show a key.
    """

    def __init__(self, http: HttpClient, url: SecretStr, batch_size: int) -> None:
        self._http = http
        self._url = url
        self._batch_size = batch_size

    async def call(self, calls: Sequence[RpcCall]) -> list[object]:
        """Make all calls, in as few HTTP requests as the batch size allows, all at the same time.

        Returns:
            For each call, in order, its JSON result, or the `SourceError` it failed with.

        Raises:
            SourceError: If no HTTP request got an answer that holds any results.
        """
        parts = [calls[start : start + self._batch_size] for start in range(0, len(calls), self._batch_size)]
        answers = await asyncio.gather(*(self._send(part) for part in parts))
        failures = [answer for answer in answers if isinstance(answer, SourceError)]
        if len(failures) == len(parts):
            raise failures[0]
        return [
            result
            for part, answer in zip(parts, answers, strict=True)
            for result in ([answer] * len(part) if isinstance(answer, SourceError) else answer)
        ]

    async def _send(self, calls: Sequence[RpcCall]) -> list[object] | SourceError:
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": call.method, "params": call.params}
            for number, call in enumerate(calls)
        ]
        single = self._batch_size == 1
        request = json.dumps(bodies[0] if single else bodies, separators=(",", ":")).encode()
        try:
            response = await self._http.post(self._url.get_secret_value(), request)
            answer = await asyncio.to_thread(response.json)
            return _results([answer] if single else answer, len(calls))
        except SourceError as error:
            return error
        except CallError as error:
            return SourceError(error.reason, error.detail)


def _results(answer: object, count: int) -> list[object]:
    """Return the results in the order of the calls, whatever the order of the answers."""
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise _refusal(answer["error"])
    if not isinstance(answer, list):
        _refuse("the answer to a JSON-RPC batch is not a list")
    by_id = {item["id"]: item for item in answer if isinstance(item, dict) and type(item.get("id")) is int}
    return [_result(by_id.get(number)) for number in range(count)]


def _result(item: dict[str, Any] | None) -> object:
    if item is None:
        return SourceError(FailureReason.INVALID_DATA, "the node left the call unanswered")
    if item.get("error") is not None:
        return _refusal(item["error"])
    if "result" not in item:
        return SourceError(FailureReason.INVALID_DATA, "a JSON-RPC answer has neither result nor error")
    return item["result"]


def _refusal(error: object) -> SourceError:
    code = error.get("code") if isinstance(error, dict) else None
    if type(code) is not int:
        return SourceError(FailureReason.INVALID_DATA, "a JSON-RPC error has no code")
    reason = FailureReason.RATE_LIMITED if code in _RATE_LIMIT_CODES else FailureReason.REJECTED
    return SourceError(reason, f"JSON-RPC error {code!s:.12}")


def _refuse(detail: str) -> NoReturn:
    raise SourceError(FailureReason.INVALID_DATA, detail)
