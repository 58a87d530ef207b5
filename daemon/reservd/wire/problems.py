"""The closed set of errors, as RFC 9457 problem details."""

from enum import Enum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict

PROBLEM_TYPE = "urn:problem-type:reservd:"
"""The start of each type; the kind's code follows."""


class ProblemKind(Enum):
    """The closed set of problems: the end of `type`, the status, and the title."""

    INVALID = "invalid", HTTPStatus.UNPROCESSABLE_ENTITY, "The request does not hold"
    TOO_LARGE = "too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large"
    UNAUTHORIZED = "unauthorized", HTTPStatus.UNAUTHORIZED, "Credentials are needed"
    FORBIDDEN = "forbidden", HTTPStatus.FORBIDDEN, "The role does not allow it"
    TOO_MANY_FAILURES = "too-many-failures", HTTPStatus.TOO_MANY_REQUESTS, "Wrong credentials came too often"
    NOT_FOUND = "not-found", HTTPStatus.NOT_FOUND, "There is no such thing"
    CONFLICT = "conflict", HTTPStatus.CONFLICT, "It contradicts what was done before"
    KEY_REUSED = "idempotency-key-reused", HTTPStatus.UNPROCESSABLE_ENTITY, "The key was used for something else"
    STANDBY = "standby", HTTPStatus.SERVICE_UNAVAILABLE, "This daemon does not own the store"
    STORE_GONE = "store-gone", HTTPStatus.SERVICE_UNAVAILABLE, "The store does not answer"
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE, "Too many ask at the same time"
    REFUSED = "withdrawal-refused", HTTPStatus.CONFLICT, "The withdrawal is more than the mode allows"
    NOT_REQUESTED = "not-requested", HTTPStatus.CONFLICT, "No refill is asked for"
    UNUSABLE_CONFIG = "config-unusable", HTTPStatus.UNPROCESSABLE_ENTITY, "The configuration cannot be taken up"
    INTERNAL = "internal", HTTPStatus.INTERNAL_SERVER_ERROR, "A defect of reservd"

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
    """`urn:problem-type:reservd:` and one of the documented kinds; `about:blank` when the status says it all."""
    title: str
    status: int
    detail: str
    reason: str | None = None
    """For a refused withdrawal, `over_maximum` or `over_period_maximum`; for a refill, why none is requested."""
    errors: list[FieldProblem] | None = None
    """The errors of an invalid request."""
