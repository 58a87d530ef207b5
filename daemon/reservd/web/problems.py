"""Errors as RFC 9457 problem details."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from reservd.errors import (
    ConfigError,
    OwnershipLostError,
    ReplenishmentStateError,
    ReservdError,
    StoreError,
    TooManyWaitError,
    UnknownReplenishmentError,
    UnknownWithdrawalError,
    WithdrawalConflictError,
    WithdrawalStateError,
)
from reservd.wire.problems import PROBLEM_TYPE, FieldProblem, Problem, ProblemKind

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 20
_LATER = {"retry-after": "5"}
_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE


_BY_ERROR: dict[type[ReservdError], ProblemKind] = {
    TooManyWaitError: ProblemKind.BUSY,
    StoreError: ProblemKind.STORE_GONE,
    OwnershipLostError: ProblemKind.STANDBY,
    WithdrawalConflictError: ProblemKind.KEY_REUSED,
    WithdrawalStateError: ProblemKind.CONFLICT,
    UnknownWithdrawalError: ProblemKind.NOT_FOUND,
    ConfigError: ProblemKind.UNUSABLE_CONFIG,
    ReplenishmentStateError: ProblemKind.CONFLICT,
    UnknownReplenishmentError: ProblemKind.NOT_FOUND,
}
_UNSAID = {
    ProblemKind.BUSY: "too many concurrent requests: try again soon",
    ProblemKind.STORE_GONE: "the store is unavailable: the outcome is unknown, try again",
    ProblemKind.STANDBY: "another daemon owns the store",
    ProblemKind.INTERNAL: "an error in reservd itself: see the daemon's log",
}


class ProblemError(Exception):
    """An error that is answered with a problem document.

    Args:
        kind: The kind of problem.
        detail: One line for people.
        headers: Headers of the response.
        reason: A word from a closed set, for programs.
    """

    def __init__(
        self, kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None, reason: str | None = None
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.kind = kind
        self.detail = detail
        self.headers = headers


def problem_response(
    kind: ProblemKind,
    detail: str,
    headers: Mapping[str, str] | None = None,
    *,
    reason: str | None = None,
    errors: list[FieldProblem] | None = None,
) -> Response:
    """Return the response for a problem."""
    problem = Problem(
        type=f"{PROBLEM_TYPE}{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=detail,
        reason=reason,
        errors=errors,
    )
    return _answer(problem, headers)


def describe_problems(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return the problems of an operation for the OpenAPI document."""
    statuses: dict[int | str, list[str]] = {}
    for kind in kinds:
        statuses.setdefault(int(kind.status), []).append(f"{kind.title} (`{kind.code}`).")
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": " ".join(titles), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, titles in statuses.items()
    }


def install_problems(app: FastAPI) -> None:
    """Make an application answer every error with a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(ReservdError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_status)
    app.add_exception_handler(Exception, _on_defect)


async def _on_problem(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, ProblemError)  # noqa: S101  # registered for nothing else
    return problem_response(error.kind, error.detail, error.headers, reason=error.reason)


async def _on_error(request: Request, error: Exception) -> Response:
    del request
    kind = next((kind for cause, kind in _BY_ERROR.items() if isinstance(error, cause)), ProblemKind.INTERNAL)
    if kind in _UNSAID:  # their own texts may name hosts and files
        log.warning("request.failed", problem=kind.code, error=str(error))
    return problem_response(kind, _UNSAID.get(kind, str(error)), _LATER if kind.status == _UNAVAILABLE else None)


async def _on_invalid(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
    # The input is left out: it may be a misplaced secret.
    errors = [
        FieldProblem(where=".".join(map(str, each["loc"])), detail=_tell(each)) for each in error.errors()[:_MAX_ERRORS]
    ]
    told = "; ".join(f"{each.where}: {each.detail}" for each in errors)
    return problem_response(ProblemKind.INVALID, told, errors=errors)


def _tell(error: Mapping[str, Any]) -> str:
    """Return what pydantic found, in words for callers who do not know it."""
    if error.get("type") == "model_attributes_type":  # a body of another type is not read as JSON
        return "must be a JSON object, sent with Content-Type: application/json"
    return str(error["msg"]).removeprefix("Value error, ")


async def _on_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI raises this for a body that is not text; for text that is not JSON it uses the documented error.
        errors = [FieldProblem(where="body", detail="cannot be read as JSON")]
        return problem_response(ProblemKind.INVALID, "body: cannot be read as JSON", errors=errors)
    title = HTTPStatus(error.status_code).phrase
    problem = Problem(type="about:blank", title=title, status=error.status_code, detail=str(error.detail))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _answer(problem, {"allow": ", ".join(_allowed(request))})
    return _answer(problem, error.headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods of a path. Starlette names only those of the first route that matches it."""
    scopes = [{**request.scope, "method": method} for method in ("GET", "HEAD", "POST")]
    return [
        str(scope["method"])
        for scope in scopes
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    ]


async def _on_defect(request: Request, error: Exception) -> Response:
    del request, error
    return problem_response(ProblemKind.INTERNAL, _UNSAID[ProblemKind.INTERNAL])


def _answer(problem: Problem, headers: Mapping[str, str] | None) -> Response:
    content = problem.model_dump_json(exclude_none=True)
    return Response(content, problem.status, dict(headers or {}), media_type=MEDIA_TYPE)
