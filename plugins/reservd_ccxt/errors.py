"""What ccxt raises, as one of the closed reasons, with nothing in its text but names and numbers.

ccxt puts URLs with signatures, and whole answers, into its messages: none of that goes any further.
"""

import re

import aiohttp

from reservd.plugin import FailureReason, SourceError


class RedirectRefusedError(aiohttp.ClientError):
    """The exchange, or what stands before it, sent the request elsewhere: the key would go there too."""


class AnswerTooLargeError(aiohttp.ClientError):
    """The answer does not end where an answer must."""


class NoJsonError(ValueError):
    """The answer is a page for people, a notice of maintenance most often, or nothing at all."""


class ExchangeError(SourceError):
    """A call to the exchange failed.

    Attributes:
        kinds: The names of ccxt's classes that the error is one of.
    """

    def __init__(self, reason: FailureReason, detail: str, kinds: frozenset[str] = frozenset()) -> None:
        super().__init__(reason, detail)
        self.kinds = kinds


READING_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What ccxt's parsers raise for an answer that they do not expect."""

# By the names of ccxt's classes, the nearest first: importing them would import all of ccxt.
_REASONS = {
    "RequestTimeout": FailureReason.TIMEOUT,
    "RateLimitExceeded": FailureReason.RATE_LIMITED,
    "DDoSProtection": FailureReason.RATE_LIMITED,
    "InvalidNonce": FailureReason.REJECTED,
    # An answered 5xx or a maintenance notice; where there was no answer, the cause says so.
    "ExchangeNotAvailable": FailureReason.REJECTED,
    "NetworkError": FailureReason.UNREACHABLE,
    "BadResponse": FailureReason.INVALID_DATA,
    "BadSymbol": FailureReason.INVALID_DATA,
    "BaseError": FailureReason.REJECTED,
}
_CODES = (
    re.compile(r'"(?:code|retCode|ret_code|sCode)"\s*:\s*"?(-?\d{1,8})\b'),
    re.compile(r'"(E[A-Z][A-Za-z]{1,15}:[A-Za-z ]{1,40})"'),  # Kraken's, such as EAPI:Invalid key
)
_STATUS = re.compile(r"^\w+ (?:[A-Z]+ \S+ )?([1-5]\d\d) ")


def from_ccxt(error: Exception, exchange_id: str) -> ExchangeError:
    """Return what is told of an error that a call to ccxt raised."""
    kinds = [cls.__name__ for cls in type(error).__mro__]
    if "BaseError" not in kinds:
        detail = f"{exchange_id}: the answer cannot be read ({kinds[0]})"
        return ExchangeError(FailureReason.INVALID_DATA, detail)
    reason = next(_REASONS[kind] for kind in kinds if kind in _REASONS)
    detail = f"{exchange_id}: {kinds[0]}"
    match error.__cause__:
        case RedirectRefusedError():
            reason, detail = FailureReason.REJECTED, f"{exchange_id}: a redirect, which is never followed"
        case AnswerTooLargeError():
            reason, detail = FailureReason.INVALID_DATA, f"{exchange_id}: the answer is too large"
        case NoJsonError():
            detail = f"{exchange_id}: the answer is no JSON"
        case aiohttp.ClientError() | OSError() if reason is not FailureReason.TIMEOUT:
            reason, detail = FailureReason.UNREACHABLE, f"{detail}, no connection or it broke"
        case _:
            detail += _said(str(error))
    return ExchangeError(reason, detail, frozenset(kinds))


def is_clock_error(error: Exception) -> bool:
    """Whether an error may come from a clock that is wrong."""
    kinds = {cls.__name__ for cls in type(error).__mro__}
    return "InvalidNonce" in kinds or ("AuthenticationError" in kinds and "timestamp" in str(error).lower())


def _said(message: str) -> str:
    """Return the exchange's own code for an error, or the HTTP status."""
    for code in _CODES:
        if found := code.search(message):
            return f", code {found[1]}"
    if found := _STATUS.search(message):
        return f", HTTP {found[1]}"
    return ""
