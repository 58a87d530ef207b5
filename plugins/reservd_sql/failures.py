"""Maps a database's errors to the closed set of reasons."""

import sqlite3

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from reservd.plugin import FailureReason, SourceError

_OTHERWISE = FailureReason.REJECTED
_SQLSTATE_REASONS = (
    ("57014", FailureReason.TIMEOUT),  # query canceled
    ("08", FailureReason.UNREACHABLE),  # connection exceptions
    ("57P", FailureReason.UNREACHABLE),  # the server starts or stops
    ("22", FailureReason.INVALID_DATA),  # data exceptions
)
"""By the first characters of the code, see https://www.postgresql.org/docs/current/errcodes-appendix.html."""
_SQLITE_REASONS = {
    "SQLITE_BUSY": FailureReason.TIMEOUT,
    "SQLITE_LOCKED": FailureReason.TIMEOUT,
    "SQLITE_INTERRUPT": FailureReason.TIMEOUT,
    "SQLITE_CANTOPEN": FailureReason.UNREACHABLE,
    "SQLITE_IOERR": FailureReason.UNREACHABLE,
    "SQLITE_CORRUPT": FailureReason.INVALID_DATA,
    "SQLITE_NOTADB": FailureReason.INVALID_DATA,
}


def to_source_error(error: SQLAlchemyError) -> SourceError:
    """Return the failure with its reason.

    Its text contains the database's own code and never its message, which may contain statement, data or address.
    """
    match error:
        case PoolTimeoutError():
            return SourceError(FailureReason.TIMEOUT, "no connection became free")
        case DBAPIError(orig=sqlite3.Error() as cause):
            return _sqlite_failure(cause)
        case DBAPIError(orig=cause):
            return _postgresql_failure(error, getattr(cause, "sqlstate", None), type(cause).__name__)
    return SourceError(FailureReason.INTERNAL, type(error).__name__)


def _sqlite_failure(cause: sqlite3.Error) -> SourceError:
    code: str | None = getattr(cause, "sqlite_errorname", None)
    if code is None:
        # From the driver, not the database: a value that it cannot read.
        return SourceError(FailureReason.INVALID_DATA, f"the driver says {type(cause).__name__}")
    # Extended codes such as SQLITE_BUSY_SNAPSHOT begin with the primary one.
    primary = "_".join(code.split("_")[:2])
    return SourceError(_SQLITE_REASONS.get(primary, _OTHERWISE), f"the database says {code}")


def _postgresql_failure(error: DBAPIError, state: str | None, kind: str) -> SourceError:
    if state is not None:
        reason = next((reason for prefix, reason in _SQLSTATE_REASONS if state.startswith(prefix)), _OTHERWISE)
        return SourceError(reason, f"the database says SQLSTATE {state} ({kind})")
    # From the driver, not the database: it got no connection, or lost it, or cannot read a value.
    if isinstance(error, OperationalError | InterfaceError):
        return SourceError(FailureReason.UNREACHABLE, "no connection to the database")
    reason = FailureReason.INVALID_DATA if isinstance(error, DataError) else _OTHERWISE
    return SourceError(reason, f"the driver says {kind}")
