"""The running API conforms to its own OpenAPI document, whatever is sent to it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from support.api import ApiDaemon
from support.polling import wait_until

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_READS = frozenset({"GET", "HEAD"})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path_factory.mktemp("api"), refilled=["alpha"]) as running:
        yield running


@pytest.fixture(scope="module")
def operations(daemon: ApiDaemon) -> Sequence[APIOperation]:
    """All operations except the stream, which does not end."""
    loaded = schemathesis.openapi.from_url(f"http://{daemon.address}/api/v1/openapi.json")
    found = [each.ok() for each in loaded.exclude(path_regex="/stream$").get_all_operations()]
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def known(daemon: ApiDaemon) -> Mapping[str, str]:
    """Existing values of path parameters, by the names of the parameters."""
    daemon.bring("alpha", "low")
    wait_until(lambda: daemon.get("/api/v1/events?mode=alpha").json["items"], "an event")
    place = "/api/v1/modes/alpha"
    withdrawal = daemon.post(f"{place}/withdrawals", {"amount": "1"}, token="treasury", key="known").json
    wait_until(lambda: daemon.get(f"{place}/replenishments").json["items"], "a request for a refill")
    return {
        "mode": "alpha",
        "event_id": daemon.get("/api/v1/events?mode=alpha").json["items"][0]["event"]["id"],
        "withdrawal_id": withdrawal["id"],
        "replenishment_id": daemon.get(f"{place}/replenishments").json["items"][0]["id"],
    }


def answer_to(case: schemathesis.Case) -> schemathesis.Response:
    """Send a case as clients should: again while the store is late, as it may be on a busy machine."""
    answers: list[schemathesis.Response] = []

    def is_answered() -> bool:
        answers.append(case.call(timeout=60))
        return answers[-1].status_code != 503

    wait_until(is_answered, "an answer")
    return answers[-1]


def send(operation: APIOperation, checks: Sequence[Any], *, negative: bool = False, **fixed: Any) -> set[int]:
    """Send ten cases of an operation as treasury, which has every permission needed; return the answers."""
    mode = schemathesis.GenerationMode.NEGATIVE if negative else schemathesis.GenerationMode.POSITIVE
    answered: set[int] = set()

    @given(case=operation.as_strategy(generation_mode=mode, **fixed))
    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def keeps_to_it(case: schemathesis.Case) -> None:
        case.headers["Authorization"] = "Bearer rsv_treasury"
        answer = answer_to(case)
        case.validate_response(answer, checks=checks)
        answered.add(answer.status_code)

    keeps_to_it()
    return answered


def parameters_of(operation: APIOperation) -> set[str]:
    return {each.name for each in operation.path_parameters}


@pytest.mark.timeout(300)
def test_every_operation_keeps_to_the_document_when_nothing_is_found(operations: Sequence[APIOperation]) -> None:
    """Names and ids are mostly unknown."""
    for operation in operations:
        answered = send(operation, _CHECKS)
        assert not parameters_of(operation) or 404 in answered or 422 in answered, operation.label


@pytest.mark.timeout(300)
def test_every_operation_keeps_to_the_document_when_it_is_found(
    operations: Sequence[APIOperation], known: Mapping[str, str]
) -> None:
    """In any order of operations: what has ended cannot be changed, which is a documented answer too."""
    reached: dict[str, set[int]] = {}
    for operation in operations:
        named = {name: known[name] for name in parameters_of(operation)}
        if named:
            reached[operation.label] = send(operation, _CHECKS, path_parameters=named)
    assert len(reached) > 15
    for label, answered in reached.items():
        assert 404 not in answered, label
        if label.startswith("GET"):
            assert 200 in answered, label


@pytest.mark.timeout(300)
def test_every_operation_refuses_what_the_document_does_not_allow(operations: Sequence[APIOperation]) -> None:
    """Except unknown parameters, which are no error in HTTP."""
    for operation in operations:
        if parameters_of(operation) or operation.query or operation.headers or operation.body:
            answered = send(operation, [*_CHECKS, negative_data_rejection], negative=True)
            assert 422 in answered, operation.label


def test_every_write_needs_a_token_and_every_path_its_method(
    daemon: ApiDaemon, operations: Sequence[APIOperation], known: Mapping[str, str]
) -> None:
    for operation in operations:
        if operation.method.upper() not in _READS:
            path = operation.full_path.format(**known)
            assert daemon.post(path, {"amount": "1"}, key="k").status == 401, path
        send(operation, [unsupported_method], path_parameters={name: known[name] for name in parameters_of(operation)})
