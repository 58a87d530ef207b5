"""Amounts for people to read, rounded so that a reserve that is too small never looks large enough."""

from decimal import MAX_PREC, ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext

_EXACT = Context(prec=MAX_PREC)
_MIN_PLACES, _MAX_PLACES = 2, 6


def show_amount(value: Decimal | None) -> str:
    """Return an amount that is available, rounded down."""
    return _show(value, ROUND_FLOOR)


def show_needed(value: Decimal | None) -> str:
    """Return an amount that is needed or missing, rounded up."""
    return _show(value, ROUND_CEILING)


def show_exact(value: Decimal | None) -> str:
    """Return an amount to the last digit, without zeros that only tell the decimals of its token."""
    return "?" if value is None else f"{value.normalize(_EXACT):f}"


def show_ratio(value: Decimal) -> str:
    """Return a ratio as a percentage, rounded down."""
    return _rounded(value, ".1%", ROUND_FLOOR)


def _show(value: Decimal | None, rounding: str) -> str:
    if value is None:
        return "?"
    exponent = value.normalize(_EXACT).as_tuple().exponent
    places = min(_MAX_PLACES, max(_MIN_PLACES, -int(exponent)))
    return _rounded(value, f",.{places}f", rounding)


def _rounded(value: Decimal, pattern: str, rounding: str) -> str:
    with localcontext(rounding=rounding):
        return format(value, pattern)
