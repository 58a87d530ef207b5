"""Turns an HTTP response into a result or an error."""

from http import HTTPStatus

from pydantic import ValidationError

from reservd.client.calls import AnswerT
from reservd.errors import (
    ApiDeniedError,
    ApiError,
    ApiNotFoundError,
    ApiRefusedError,
    ApiUnavailableError,
    FailureReason,
)
from reservd.wire.failures import parse_retry_after
from reservd.wire.problems import PROBLEM_TYPE, Problem

_DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
_MULTIPLE_CHOICES, _BAD_REQUEST, _SERVER_ERRORS = 300, 400, 500
_MAX_DETAIL = 500


def read_answer(answer: type[AnswerT], content: bytes) -> AnswerT:
    """Return the content of a successful response.

    Raises:
        ApiError: If it is not a response of reservd.
    """
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "the whole body"
        raise ApiError(FailureReason.INVALID_DATA, f"the response is not a valid {answer.__name__}: {where}") from None


def is_good(status: int) -> bool:
    """Return whether a status means success."""
    return HTTPStatus.OK <= status < _MULTIPLE_CHOICES


def read_problem(status: int, content: bytes, retry_after: str = "") -> ApiError:
    """Return the error of a response, whether the daemon or a proxy in front of it sent it.

    Args:
        status: The status of an unsuccessful response.
        content: Its body.
        retry_after: Its `Retry-After` header; empty without one.
    """
    kind, detail, reason = _told(status, content)
    if status < _BAD_REQUEST:
        return ApiError(FailureReason.INVALID_DATA, f"HTTP {status} is not a response of reservd", status)
    if status >= _SERVER_ERRORS or status in _LATER:
        return ApiUnavailableError(kind, detail, status, parse_retry_after(retry_after))
    if status in _DENIED:
        return ApiDeniedError(kind, detail, status, reason)
    if status == HTTPStatus.NOT_FOUND:
        return ApiNotFoundError(kind, detail, status, reason)
    return ApiRefusedError(kind, detail, status, reason)


def _told(status: int, content: bytes) -> tuple[str, str, str | None]:
    """Return the kind, detail and reason of a problem."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        return FailureReason.REJECTED, f"HTTP {status}", None
    if not problem.type.startswith(PROBLEM_TYPE):
        return FailureReason.REJECTED, f"HTTP {status}: {problem.title}", None
    return problem.type.removeprefix(PROBLEM_TYPE), problem.detail[:_MAX_DETAIL], problem.reason
