"""One value of a JSON document, located by a JSONPath and checked strictly.

A document may have pages: a path is applied to each, and must match one value in all of them together.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import chain, islice
from typing import Annotated, Any, cast

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from reservd.plugin import parse_amount

_RFC_9535 = JSONPathEnvironment(strict=True)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_SECONDS = (10**9, 10**10)
"""2001 to 2286. Narrow, to catch a number that is not a time, or counts micro- or nanoseconds."""
_UNIX_MILLISECONDS = (10**12, 10**13)


class ValueProblem(Exception):  # noqa: N818  # not an error of its own: callers turn it into a closed reason
    """A value that is missing or invalid. Its text never contains the value."""


@lru_cache(maxsize=1024)
def _compiled(path: str) -> JSONPath:
    # The other possible type is a union of paths, which the strict environment does not parse.
    return cast("JSONPath", _RFC_9535.compile(path))


def _check_path(path: str) -> str:
    try:
        _compiled(path)
    except JSONPathError as error:
        problem = _path_problem(path, error)
        raise PydanticCustomError(
            "json_path", "must be a JSONPath such as $.data.free: {problem}", {"problem": problem}
        ) from None
    return path


def _path_problem(path: str, error: JSONPathError) -> str:
    """Return the error in a path; the library's own text is about its tokens."""
    if not path.startswith("$"):
        return "it must start with $"
    if error.token is None or error.token.index < 0:
        return "it ends too early"
    return f"it is wrong at character {error.token.index + 1}"


JsonPath = Annotated[str, AfterValidator(_check_path)]
"""An RFC 9535 JSONPath; its syntax is checked with the configuration."""


def cursor_at(pages: Sequence[Any], path: str) -> str | None:
    """Return the text or whole number at `path`, as text; None for nothing, null, false or empty text.

    Raises:
        ValueProblem: If there are several, or it is anything else.
    """
    if not _values(pages, path):
        return None
    value = _only_value(pages, path)
    if value is None or value is False or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueProblem(f"{path} must be text, a whole number or null, got {_kind(value)}")
    return str(value)


def number_at(pages: Sequence[Any], path: str) -> Decimal:
    """Return the number at `path`, even if it is written as text.

    Raises:
        ValueProblem: If there is none, or it is NaN, infinite or implausible.
    """
    value = _only_value(pages, path)
    if isinstance(value, bool) or not isinstance(value, int | Decimal | str):
        raise ValueProblem(f"{path} must be a number, got {_kind(value)}")
    try:
        return parse_amount(value)
    except ValueError:
        kind = "text that is not one" if isinstance(value, str) else "one that is out of range"
        raise ValueProblem(f"{path} must be a number, got {kind}") from None


def text_at(pages: Sequence[Any], path: str) -> str:
    """Return the text at `path`.

    Raises:
        ValueProblem: If there is none.
    """
    value = _only_value(pages, path)
    if not isinstance(value, str):
        raise ValueProblem(f"{path} must be text, got {_kind(value)}")
    return value


def flag_at(pages: Sequence[Any], path: str) -> bool:
    """Return the boolean at `path`.

    Raises:
        ValueProblem: If there is none; text and numbers do not count.
    """
    value = _only_value(pages, path)
    if not isinstance(value, bool):
        raise ValueProblem(f"{path} must be true or false, got {_kind(value)}")
    return value


def instant_at(pages: Sequence[Any], path: str) -> datetime:
    """Return the time at `path`: ISO 8601 text with a zone, or Unix time in seconds or milliseconds.

    Raises:
        ValueProblem: If it is neither.
    """
    value = _only_value(pages, path)
    # Digits alone are Unix time, although Python parses some of them as a date of the 18th century.
    if isinstance(value, str) and not value.isdecimal():
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            pass  # Unix time with a fraction.
        else:
            if moment.tzinfo is None:
                raise ValueProblem(f"{path} must be a time with its zone, got one without")
            return _in_utc(moment, path)
    try:
        return _from_unix(number_at(pages, path))
    except ValueProblem:
        rule = "must be ISO 8601 text, or Unix time in seconds or milliseconds"
        raise ValueProblem(f"{path} {rule}, got {_kind(value)}") from None


def _in_utc(moment: datetime, path: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueProblem(f"{path} must be a time of the years 1 to 9999 in UTC") from None


def _from_unix(number: Decimal) -> datetime:
    if _UNIX_SECONDS[0] <= number < _UNIX_SECONDS[1]:
        return _EPOCH + timedelta(microseconds=int(number * 1_000_000))
    if _UNIX_MILLISECONDS[0] <= number < _UNIX_MILLISECONDS[1]:
        return _EPOCH + timedelta(microseconds=int(number * 1_000))
    raise ValueProblem("out of range")


def _only_value(pages: Sequence[Any], path: str) -> Any:
    values = _values(pages, path)
    if len(values) != 1:
        raise ValueProblem(f"{path} must match one value, matched {'several' if values else 'nothing'}")
    return values[0]


def _values(pages: Sequence[Any], path: str) -> list[Any]:
    """Return the first value at `path`, and the second: more need not be told apart."""
    try:
        return list(islice(chain.from_iterable(_matches(page, path) for page in pages), 2))
    except JSONPathError:
        raise ValueProblem(f"{path} cannot be followed through this answer") from None


def _matches(page: Any, path: str) -> Iterator[Any]:
    compiled = _compiled(path)
    if isinstance(page, str):  # which the library would parse as a document
        return iter([page] if str(compiled) == "$" else [])
    return (match.obj for match in compiled.finditer(page))


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return "a number"
