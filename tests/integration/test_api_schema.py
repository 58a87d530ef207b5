"""The running API keeps to its own OpenAPI document, whatever is sent to it."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.api import ApiDaemon

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDaemon]:
    with ApiDaemon(tmp_path_factory.mktemp("api")) as running:
        yield running


@pytest.fixture(scope="module")
def api(daemon: ApiDaemon) -> schemathesis.BaseSchema:
    """All but the stream, which has no end."""
    loaded = schemathesis.openapi.from_url(f"http://{daemon.address}/api/v1/openapi.json")
    return loaded.exclude(path_regex="/stream$")


@pytest.mark.timeout(300)
def test_every_operation_keeps_to_the_document(api: schemathesis.BaseSchema) -> None:
    """As treasury, which may do all that the operations do; modes are mostly ones that are not there."""
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        def keeps_to_it(case: schemathesis.Case) -> None:
            case.headers["Authorization"] = "Bearer rsv_treasury"
            case.call_and_validate(checks=_CHECKS, timeout=20)

        keeps_to_it()
