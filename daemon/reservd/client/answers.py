"""Turns an HTTP answer into a result or an error."""

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
    """Return what a good answer says.

    Raises:
        ApiError: If it is none of reservd's.
    """
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False)[0]["loc"])) or "the whole"
        raise ApiError(FailureReason.INVALID_DATA, f"the answer is no {answer.__name__}: {where}") from None


def is_good(status: int) -> bool:
    """Whether a status says that it was done."""
    return HTTPStatus.OK <= status < _MULTIPLE_CHOICES


def read_problem(status: int, content: bytes, retry_after: str = "") -> ApiError:
    """Return the error that an answer tells, whoever gave it: the daemon, or a proxy before it.

    Args:
        status: Of an answer that is not good.
        content: Its body.
        retry_after: Its header of that name; empty without.
    """
    kind, detail, reason = _told(status, content)
    if status < _BAD_REQUEST:
        return ApiError(FailureReason.INVALID_DATA, f"HTTP {status} is no answer of reservd's", status)
    if status >= _SERVER_ERRORS or status in _LATER:
        return ApiUnavailableError(kind, detail, status, parse_retry_after(retry_after))
    if status in _DENIED:
        return ApiDeniedError(kind, detail, status, reason)
    if status == HTTPStatus.NOT_FOUND:
        return ApiNotFoundError(kind, detail, status, reason)
    return ApiRefusedError(kind, detail, status, reason)


def _told(status: int, content: bytes) -> tuple[str, str, str | None]:
    """Return kind, detail and reason."""
    try:
        problem = Problem.model_validate_json(content)
    except ValidationError:
        return FailureReason.REJECTED, f"HTTP {status}", None
    if not problem.type.startswith(PROBLEM_TYPE):
        return FailureReason.REJECTED, f"HTTP {status}: {problem.title}", None
    return problem.type.removeprefix(PROBLEM_TYPE), problem.detail[:_MAX_DETAIL], problem.reason
