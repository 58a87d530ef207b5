"""JSON-RPC 2.0 of Ethereum nodes over HTTP, in batches; every failure has a closed reason."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import SecretStr

from reservd.errors import CallError, FailureReason, SourceError
from reservd.plugin.http import HttpClient

_BATCH = 100
"""Calls in one HTTP request: what every larger provider takes."""
_RATE_LIMIT_CODES = frozenset({-32005, -32016, 429})
"""EIP-1474's "limit exceeded", and what some providers answer in its place."""
_REVERTED = 3
"""The code of a reverted `eth_call`; some nodes tell it by their message only."""


class RpcCall(NamedTuple):
    """One method and its parameters."""

    method: str
    params: tuple[object, ...] = ()


class RevertedError(SourceError):
    """A contract refused a call, or has no such function."""

    def __init__(self) -> None:
        super().__init__(FailureReason.REJECTED, "the contract reverted the call")


class JsonRpc:
    """Calls one JSON-RPC endpoint through an open `HttpClient`.

    No failure's text holds the URL, or what the provider wrote: either may show a key.
    """

    def __init__(self, http: HttpClient, url: SecretStr) -> None:
        self._http = http
        self._url = url

    async def call(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return for each call, in order, its JSON result or the `SourceError` it failed with.

        Raises:
            SourceError: If an HTTP request failed, or its answer was no JSON-RPC batch.
        """
        results: list[object] = []
        for start in range(0, len(calls), _BATCH):
            results += await self._send(calls[start : start + _BATCH])
        return results

    async def _send(self, calls: Sequence[RpcCall]) -> list[object]:
        bodies = [{"jsonrpc": "2.0", "id": number, **call._asdict()} for number, call in enumerate(calls)]
        try:
            response = await self._http.post(self._url.get_secret_value(), json.dumps(bodies).encode())
            answer = response.json()
        except CallError as error:
            raise SourceError(error.reason, error.detail) from None
        if isinstance(answer, dict) and answer.get("error") is not None:
            raise _refusal(answer["error"])
        if not isinstance(answer, list):
            raise SourceError(FailureReason.INVALID_DATA, "the answer to a JSON-RPC batch is not a list")
        # In order of the calls, whatever the order of the answers.
        by_id = {item["id"]: item for item in answer if isinstance(item, dict) and type(item.get("id")) is int}
        return [_result(by_id.get(number, {})) for number in range(len(calls))]


def _result(item: dict[str, object]) -> object:
    if item.get("error") is not None:
        return _refusal(item["error"])
    if "result" not in item:
        return SourceError(FailureReason.INVALID_DATA, "the node left the call unanswered")
    return item["result"]


def _refusal(error: object) -> SourceError:
    code = error.get("code") if isinstance(error, dict) else None
    if not isinstance(error, dict) or type(code) is not int:
        return SourceError(FailureReason.INVALID_DATA, "a JSON-RPC error has no code")
    if code == _REVERTED or "revert" in f"{error.get('message')}".lower():
        return RevertedError()
    reason = FailureReason.RATE_LIMITED if code in _RATE_LIMIT_CODES else FailureReason.REJECTED
    return SourceError(reason, f"JSON-RPC error {code!s:.12}")
