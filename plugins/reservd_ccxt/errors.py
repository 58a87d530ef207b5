"""Maps ccxt's errors to the closed set of reasons, with only names and numbers in the text.

ccxt puts URLs with signatures, and whole answers, into its messages: none of that is passed on.
"""

import re

import aiohttp

from reservd.plugin import FailureReason, SourceError


class RedirectRefusedError(aiohttp.ClientError):
    """The exchange, or a proxy in front of it, redirected the request: the key would be sent there too."""


class AnswerTooLargeError(aiohttp.ClientError):
    """The answer is larger than allowed."""


class NoJsonError(ValueError):
    """The answer is an HTML page, usually a maintenance notice, or empty."""


class ExchangeError(SourceError):
    """A call to the exchange failed.

    Attributes:
        kinds: The names of ccxt's error classes that apply.
    """

    def __init__(self, reason: FailureReason, detail: str, kinds: frozenset[str] = frozenset()) -> None:
        super().__init__(reason, detail)
        self.kinds = kinds


READING_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""The errors of ccxt's parsers for an unexpected answer."""

# By the names of ccxt's classes, the most specific first: importing them would import all of ccxt.
_REASONS = {
    "RequestTimeout": FailureReason.TIMEOUT,
    "RateLimitExceeded": FailureReason.RATE_LIMITED,
    "DDoSProtection": FailureReason.RATE_LIMITED,
    "InvalidNonce": FailureReason.REJECTED,
    # An answered 5xx or a maintenance notice; without an answer, the cause says so.
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
    """Return the failure for an error that a call to ccxt raised."""
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
            detail = f"{exchange_id}: the answer is not JSON"
        case aiohttp.ClientError() | OSError() if reason is not FailureReason.TIMEOUT:
            reason, detail = FailureReason.UNREACHABLE, f"{detail}, no connection or it broke"
        case _:
            detail += _said(str(error))
    return ExchangeError(reason, detail, frozenset(kinds))


def is_clock_error(error: Exception) -> bool:
    """Whether a wrong clock may be the cause of an error."""
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
