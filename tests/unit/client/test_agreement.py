"""The OpenAPI document and the SDK agree: every operation has a method, every method an operation."""

import inspect
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd.client import AsyncClient, Client
from reservd.client.answers import read_problem
from reservd.client.calls import API_ROOT, Call, Operation
from reservd.client.feed import STREAM_PATH
from reservd.client.operations import Operations
from reservd.errors import ApiDeniedError, ApiError, ApiNotFoundError, ApiRefusedError, ApiUnavailableError
from reservd.reserve.holds import HoldState
from reservd.reserve.models import EventType, ReserveStatus
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.web.api.application import make_application
from reservd.web.problems import problem_response
from reservd.wire.problems import ProblemKind

DOCUMENT: dict[str, Any] = make_application().openapi()
METHODS = {name: value for name, value in vars(Operations).items() if isinstance(value, Operation)}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SAMPLES: dict[str, object] = {
    "amount": Decimal("1250.50"),
    "block": 7,
    "event_type": EventType.LOW,
    "limit": 5,
    "paid_at": NOW,
    "expected_by": NOW,
    "status": ReserveStatus.LOW,
}
STATES = {"list_withdrawals": HoldState.HELD, "list_replenishments": ReplenishmentState.SETTLED}
CURSORS = {"list_modes": "alpha", "list_replenishments": "1767323045000000.some-id"}


def sample(name: str) -> Call[Any]:
    """Return a call with every argument given."""
    method = METHODS[name]
    given = {**SAMPLES, "state": STATES.get(name), "cursor": CURSORS.get(name, 9)}
    # Its first parameter is the client.
    wanted = list(inspect.signature(inspect.unwrap(method)).parameters)[1:]
    return method.describe(**{argument: given.get(argument, f"some-{argument}") for argument in wanted})


def described(call: Call[Any]) -> dict[str, Any]:
    """Return the part of the document about a call's operation."""
    operation: dict[str, Any] = DOCUMENT["paths"][API_ROOT + call.path][call.method.lower()]
    return operation


def resolve(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_every_operation_of_the_document_has_a_method_and_the_other_way_round() -> None:
    documented = {(verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs}
    offered = [(call.method, API_ROOT + call.path) for call in map(sample, METHODS)]
    assert len(offered) == len(set(offered))
    assert {*offered, ("GET", API_ROOT + STREAM_PATH)} == documented


@pytest.mark.parametrize("name", METHODS)
def test_method_sends_what_its_operation_takes(name: str) -> None:
    """Every parameter and every key of the body, under the names of the document, and nothing else."""
    call, operation = sample(name), described(sample(name))
    parameters = {(each["in"], each["name"]) for each in operation.get("parameters", ())}
    sent = {("path", part) for part in call.parts} | {("query", part) for part in call.query}
    if call.idempotency_key is not None:
        sent.add(("header", "Idempotency-Key"))
    assert sent == parameters
    body = operation.get("requestBody", {"content": {"application/json": {"schema": {}}}})
    schema = resolve(body["content"]["application/json"]["schema"])
    if "anyOf" in schema:  # an optional body
        schema = resolve(next(each for each in schema["anyOf"] if "$ref" in each))
    assert set(call.body or ()) == set(schema.get("properties", ()))


@pytest.mark.parametrize("name", METHODS)
def test_method_reads_what_its_operation_answers(name: str) -> None:
    answers = described(sample(name))["responses"]
    good = next(answer for status, answer in answers.items() if status.startswith("2"))
    assert good["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2] == sample(name).answer.__name__


def test_both_clients_have_the_same_methods_with_their_words() -> None:
    for name, method in METHODS.items():
        assert method.__doc__, name
        for kind in (Client, AsyncClient):
            bound = getattr(kind("http://127.0.0.1:1"), name)
            assert (bound.__name__, bound.__doc__) == (name, method.__doc__)


KINDS: dict[ProblemKind, type[ApiError]] = {
    ProblemKind.INVALID: ApiRefusedError,
    ProblemKind.TOO_LARGE: ApiRefusedError,
    ProblemKind.UNAUTHORIZED: ApiDeniedError,
    ProblemKind.FORBIDDEN: ApiDeniedError,
    ProblemKind.TOO_MANY_FAILURES: ApiUnavailableError,
    ProblemKind.NOT_FOUND: ApiNotFoundError,
    ProblemKind.CONFLICT: ApiRefusedError,
    ProblemKind.KEY_REUSED: ApiRefusedError,
    ProblemKind.STANDBY: ApiUnavailableError,
    ProblemKind.STORE_GONE: ApiUnavailableError,
    ProblemKind.BUSY: ApiUnavailableError,
    ProblemKind.REFUSED: ApiRefusedError,
    ProblemKind.NOT_REQUESTED: ApiRefusedError,
    ProblemKind.UNUSABLE_CONFIG: ApiRefusedError,
    ProblemKind.INTERNAL: ApiUnavailableError,
}


@pytest.mark.parametrize("kind", ProblemKind)
def test_every_problem_is_one_error(kind: ProblemKind) -> None:
    """Problems as the daemon writes them; only those that may be retried are `ApiUnavailableError`."""
    answer = problem_response(kind, "why", {"retry-after": "7"}, reason="over_maximum")
    error = read_problem(answer.status_code, bytes(answer.body), answer.headers["retry-after"])
    assert type(error) is KINDS[kind]
    assert (error.kind, error.detail, error.status) == (kind.code, "why", kind.status)
    if isinstance(error, ApiUnavailableError):
        assert error.retry_after_seconds == 7
    elif isinstance(error, ApiRefusedError):
        assert error.reason == "over_maximum"


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (502, b"<html>", ApiUnavailableError),
        (404, b'{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "x"}', ApiNotFoundError),
        (302, b"", ApiError),
    ],
)
def test_answer_of_somebody_else_is_an_error_too(status: int, content: bytes, expected: type[ApiError]) -> None:
    error = read_problem(status, content)
    assert (type(error), error.status) == (expected, status)
    assert str(status) in error.detail


@pytest.mark.parametrize("amount", [12.5, "12.5", True, Decimal("NaN")])
def test_amount_is_refused_when_it_is_no_exact_number(amount: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="amount must be"):
        METHODS["process_withdrawal"].describe("alpha", amount, "key")


def test_call_is_sent_with_its_parts_quoted_and_what_is_none_left_out() -> None:
    assert METHODS["get_mode"].describe("a/b?c").target == "/api/v1/modes/a%2Fb%3Fc"
    assert METHODS["list_modes"].describe(limit=3).target == "/api/v1/modes?limit=3"
    assert METHODS["get_withdrawal_speed"].describe("m", Decimal("1E+3")).target.endswith("?amount=1000")
    with pytest.raises(ValueError, match="time zone"):
        METHODS["settle_withdrawal"].describe("w", paid_at=datetime(2026, 1, 1))  # noqa: DTZ001  # the subject
