"""Converts ccxt's ticker to a price: exact numbers, and no guesses."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Literal

from reservd.plugin import FailureReason, Price, parse_amount
from reservd_ccxt.errors import ExchangeError

PriceOf = Literal["mid", "last"]

_CONTEXT = Context(prec=40, rounding=ROUND_HALF_EVEN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = range(10**12, 10**13)
"""2001 to 2286."""


def value_of(ticker: Mapping[str, Any], of: PriceOf, max_spread: Decimal) -> Decimal:
    """Return the price in a ticker.

    Args:
        ticker: What ccxt's `fetch_ticker` returned.
        of: Which of its numbers.
        max_spread: The largest distance of bid and ask, as a part of their middle.

    Raises:
        ExchangeError: If the number is missing or invalid.
    """
    if of == "last":
        return _number(ticker, "last")
    bid, ask = _number(ticker, "bid"), _number(ticker, "ask")
    mid = _CONTEXT.divide(_CONTEXT.add(bid, ask), 2)
    spread = _CONTEXT.subtract(ask, bid)
    if spread < 0:
        raise _invalid("bid is above ask")
    if spread > _CONTEXT.multiply(max_spread, mid):
        raise _invalid(f"bid and ask are {_CONTEXT.divide(spread, mid):.4f} of the price apart, max_spread is less")
    return mid


def to_price(base: str, quote: str, value: Decimal, observed_at: datetime, *, inverse: bool) -> Price:
    """Return a price, inverted if the market quotes the pair the other way round."""
    try:
        return Price(base, quote, _CONTEXT.divide(1, value) if inverse else value, observed_at)
    except ValueError:
        raise _invalid("the price is beyond belief") from None


def time_of(ticker: Mapping[str, Any], of: PriceOf, asked_at: datetime) -> datetime:
    """Return when a ticker was observed.

    Without a time in the ticker, bid and ask are of the request, because they are current; a last trade
    may be of any time.

    Raises:
        ExchangeError: If it is a last trade without a time, or the time is invalid.
    """
    timestamp = ticker.get("timestamp")
    if timestamp is None and of == "mid":
        return asked_at
    if timestamp is None:
        raise _invalid("the exchange does not report when the last trade was")
    if not isinstance(timestamp, int) or timestamp not in _MILLISECONDS:
        raise _invalid("the ticker's time is not valid")
    return _EPOCH + timedelta(milliseconds=timestamp)


def _number(ticker: Mapping[str, Any], key: str) -> Decimal:
    value = ticker.get(key)
    if value is None:
        raise _invalid(f"the ticker has no {key}")
    if not isinstance(value, str):
        raise _invalid(f"{key} came as {type(value).__name__}, which may have lost digits")
    try:
        number = parse_amount(value)
    except ValueError:
        raise _invalid(f"{key} is not a valid number") from None
    if number <= 0:
        raise _invalid(f"{key} is not above 0")
    return number


def _invalid(detail: str) -> ExchangeError:
    return ExchangeError(FailureReason.INVALID_DATA, detail)
