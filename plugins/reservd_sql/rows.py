"""The values of a row, checked strictly."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from reservd.plugin import parse_amount

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIX_SECONDS = (10**9, 10**10)
"""2001 to 2286. Narrow, to catch a number that is not a time, or counts milliseconds."""


class RowProblem(Exception):  # noqa: N818  # not an error of its own: callers turn it into a closed reason
    """A value that is NULL or invalid. Its text never contains the value."""


def amount_in(value: Any, column: str, *, allow_float: bool) -> Decimal:
    """Return an exact number; a float by its shortest text, if floats are allowed.

    Raises:
        RowProblem: If it is NULL, not a number, NaN, infinite or implausible, or a float that is not allowed.
    """
    match value:
        case None:
            raise RowProblem(f"{column} is NULL")
        case float() if not allow_float:
            raise RowProblem(f"{column} is a float, which has lost digits: make it NUMERIC, or set allow_float")
        case bool():
            raise RowProblem(f"{column} must be a number, got a boolean")
    try:
        return parse_amount(value)
    except TypeError:
        raise RowProblem(f"{column} must be a number, got {type(value).__name__}") from None
    except ValueError:
        kind = "text that is not one" if isinstance(value, str) else "one that is not finite or out of range"
        raise RowProblem(f"{column} must be a number, got {kind}") from None


def instant_in(value: Any, column: str, *, naive_is_utc: bool) -> datetime:
    """Return a time: a timestamp with its zone, ISO 8601 text with one, or Unix time in seconds.

    Raises:
        RowProblem: If it is NULL or none of these, or has no zone and may not be taken as UTC.
    """
    match value:
        case None:
            raise RowProblem(f"{column} is NULL")
        case str():
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise RowProblem(f"{column} must be a time, got text that is no ISO 8601") from None
        case datetime():
            moment = value
        case int() | Decimal():
            # Comparisons with NaN are always false.
            if not (Decimal(value).is_finite() and _UNIX_SECONDS[0] <= value < _UNIX_SECONDS[1]):
                raise RowProblem(f"{column} must be a time, got a number that is no Unix time in seconds")
            moment = _EPOCH + timedelta(microseconds=int(value * 1_000_000))
        case _:
            raise RowProblem(f"{column} must be a time, got {type(value).__name__}")
    if moment.tzinfo is not None:
        try:
            return moment.astimezone(UTC)
        except OverflowError:
            raise RowProblem(f"{column} must be a time of the years 1 to 9999 in UTC") from None
    if not naive_is_utc:
        raise RowProblem(f"{column} has no time zone: make it timestamptz, or set naive_is_utc")
    return moment.replace(tzinfo=UTC)
