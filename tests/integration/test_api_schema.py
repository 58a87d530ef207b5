"""The running API keeps to its own OpenAPI document, whatever is sent to it."""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
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


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_operation_keeps_to_the_document(case: schemathesis.Case, daemon: ApiDaemon) -> None:
    """As treasury, which may do all that the operations do; modes are mostly ones that are not there."""
    del daemon
    case.headers["Authorization"] = "Bearer rsv_treasury"
    case.call_and_validate(checks=_CHECKS, timeout=20)
