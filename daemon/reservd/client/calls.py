"""How an operation of the API is described once and performed by either client, with or without `await`."""

import functools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload
from urllib.parse import quote, urlencode

from pydantic import BaseModel

AnswerT = TypeVar("AnswerT", bound=BaseModel)
P = ParamSpec("P")

API_ROOT = "/api/v1"


@dataclass(frozen=True, slots=True)
class Call(Generic[AnswerT]):
    """One call of an operation.

    Attributes:
        method: `GET` or `POST`.
        path: Below `API_ROOT`, with the names of its parameters in braces, as in the OpenAPI document.
        answer: The type of the result.
        parts: The values of the path parameters.
        query: The query of the URL. Values of None are left out.
        body: Sent as JSON. Values of None are left out. There is no body when it is None itself.
        idempotency_key: Makes it safe to send the call again; None if that is safe anyway.
    """

    method: str
    path: str
    answer: type[AnswerT]
    parts: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    idempotency_key: str | None = None

    @property
    def target(self) -> str:
        """The path and query, encoded."""
        path = self.path.format_map({name: quote(part, safe="") for name, part in self.parts.items()})
        query = urlencode({name: str(value) for name, value in self.query.items() if value is not None})
        return f"{API_ROOT}{path}{'?' if query else ''}{query}"


class Sends(Protocol):
    """A client that waits for the result."""

    def send(self, call: Call[AnswerT]) -> AnswerT:
        """Make a call and return its result."""


class SendsAsync(Protocol):
    """A client whose results are awaited."""

    def send(self, call: Call[AnswerT]) -> Coroutine[Any, Any, AnswerT]:
        """Make a call and return its result."""


class Operation(Generic[P, AnswerT]):
    """A method of both clients: it describes a call, which each client sends in its own way."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[AnswerT]]) -> None:
        functools.update_wrapper(self, describe)  # type: ignore[arg-type]  # wants a function, takes any object
        self._describe = describe

    def describe(self, *args: P.args, **kwargs: P.kwargs) -> Call[AnswerT]:
        """Return the call without making it."""
        return self._describe(None, *args, **kwargs)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SendsAsync, owner: type) -> Callable[P, Coroutine[Any, Any, AnswerT]]: ...
    @overload
    def __get__(self, client: Sends, owner: type) -> Callable[P, AnswerT]: ...
    def __get__(self, client: Sends | SendsAsync | None, owner: type) -> object:
        """Return the method of a client."""
        if client is None:
            return self

        @functools.wraps(self._describe)
        def method(*args: P.args, **kwargs: P.kwargs) -> object:
            return client.send(self.describe(*args, **kwargs))

        return method


def operation(describe: Callable[Concatenate[Any, P], Call[AnswerT]]) -> Operation[P, AnswerT]:
    """Turn a method that describes a call into one that makes it."""
    return Operation(describe)
