"""The closed set of errors, as RFC 9457 problem details."""

from enum import Enum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict

PROBLEM_TYPE = "urn:problem-type:reservd:"
"""The start of each type; the kind's code follows."""


class ProblemKind(Enum):
    """The closed set of problems: the end of `type`, the status, and the title."""

    INVALID = "invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The request is invalid"
    TOO_LARGE = "too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large"
    UNAUTHORIZED = "unauthorized", HTTPStatus.UNAUTHORIZED, "Valid credentials are required"
    FORBIDDEN = "forbidden", HTTPStatus.FORBIDDEN, "The role does not permit this"
    TOO_MANY_FAILURES = "too-many-failures", HTTPStatus.TOO_MANY_REQUESTS, "Too many failed authentication attempts"
    NOT_FOUND = "not-found", HTTPStatus.NOT_FOUND, "Not found"
    CONFLICT = "conflict", HTTPStatus.CONFLICT, "The current state does not allow this"
    KEY_REUSED = "idempotency-key-reused", HTTPStatus.UNPROCESSABLE_ENTITY, "The key was used for another request"
    STANDBY = "standby", HTTPStatus.SERVICE_UNAVAILABLE, "This daemon does not own the store"
    STORE_GONE = "store-gone", HTTPStatus.SERVICE_UNAVAILABLE, "The store is unavailable"
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE, "Too many concurrent requests"
    REFUSED = "withdrawal-refused", HTTPStatus.CONFLICT, "The withdrawal exceeds what the mode allows"
    NOT_REQUESTED = "not-requested", HTTPStatus.CONFLICT, "No refill was requested"
    UNUSABLE_CONFIG = "config-unusable", HTTPStatus.UNPROCESSABLE_ENTITY, "The configuration cannot be used"
    INTERNAL = "internal", HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error"

    def __init__(self, code: str, status: HTTPStatus, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


class FieldProblem(BaseModel):
    """One thing that is wrong with a request."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    where: str
    """`query.limit`, `body.amount` and so on."""
    detail: str


class Problem(BaseModel):
    """Problem details, as RFC 9457 defines them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """`urn:problem-type:reservd:` and one of the documented kinds; `about:blank` when the status is sufficient."""
    title: str
    status: int
    detail: str
    reason: str | None = None
    """For a refused withdrawal, `over_maximum` or `over_period_maximum`; for a refill, why none is requested."""
    errors: list[FieldProblem] | None = None
    """The errors of an invalid request."""
