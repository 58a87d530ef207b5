"""Money as exact decimals; amounts that are not finite, or absurdly large, are refused where they come in."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, DivisionByZero, InvalidOperation, Overflow

ZERO = Decimal(0)
_ONE = Decimal(1)

MAX_MAGNITUDE = 60
"""Amounts are below 10^60 and have at most 60 decimals: more than any uint256 token needs."""

_TRAPS = [InvalidOperation, DivisionByZero, Overflow]

# Enough digits for exact sums of amounts, and exact products of an amount, a ratio and a threshold.
_EXACT = Context(prec=6 * MAX_MAGNITUDE, traps=_TRAPS)

# Operators round to the thread's context, which belongs to whoever embeds this, and setting it for a check costs more
# than the check. Comparisons are always exact.
add = _EXACT.add
subtract = _EXACT.subtract
multiply = _EXACT.multiply


def decimals(amount: Decimal) -> int:
    """Return with how many decimals a finite amount is written."""
    exponent: int = amount.as_tuple().exponent  # type: ignore[assignment]  # finite: the exponent is a number
    return max(0, -exponent)


def to_units(amount: Decimal, places: int) -> int:
    """Return an amount as a whole number of units of its `places`th decimal. It must have no further decimals."""
    return int(_EXACT.scaleb(amount, places))


def from_units(units: int, places: int) -> Decimal:
    """Return the amount of a number of units of the `places`th decimal, without trailing zeros."""
    amount = _EXACT.normalize(_EXACT.scaleb(Decimal(units), -places))
    return amount if decimals(amount) else amount.quantize(_ONE, context=_EXACT)


_RATIO = Context(prec=28, rounding=ROUND_FLOOR, traps=_TRAPS)


def check_amount(value: object, name: str = "amount") -> Decimal:
    """Return `value` if it is a valid amount.

    Raises:
        TypeError: If it is not a Decimal. A float has already lost digits.
        ValueError: If it is NaN, infinite, or beyond `MAX_MAGNITUDE`.
    """
    if type(value) is not Decimal:
        raise TypeError(f"{name} must be a Decimal, got {type(value).__name__} {value!r:.60}")
    if not value.is_finite():
        raise ValueError(f"{name} must be a finite number, got {value}")
    if value and not -MAX_MAGNITUDE <= value.adjusted() < MAX_MAGNITUDE:
        raise ValueError(
            f"{name} must be below 1e{MAX_MAGNITUDE} with at most {MAX_MAGNITUDE} decimals, got {value:.3e}"
        )
    if -value.as_tuple().exponent > MAX_MAGNITUDE:  # type: ignore[operator]  # finite: the exponent is a number
        raise ValueError(f"{name} must have at most {MAX_MAGNITUDE} decimals, got {value:.3e}")
    return value


def parse_amount(value: object, name: str = "amount") -> Decimal:
    """Return a text, an integer or a Decimal as an amount.

    Args:
        value: `"12.5"`, `12`, `Decimal("12.5")`. A float is read by its shortest text, because objects of other
            platforms return floats; a bool is refused.
        name: What the amount is, for the error.

    Raises:
        TypeError: If it is none of these.
        ValueError: If the text is not a number, or the number is not finite or is absurdly large.
    """
    match value:
        case Decimal():
            return check_amount(value, name)
        case bool():
            raise TypeError(f"{name} must be a number, got {value}")
        case int() | float() | str():
            try:
                number = Decimal(float.__repr__(value) if isinstance(value, float) else value)
            except (InvalidOperation, ValueError):
                raise ValueError(f"{name} must be a number, got {value!r:.60}") from None
            return check_amount(number, name)
        case _:
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")


ratio = _RATIO.divide
"""Divides a part by the whole, for people and gauges, never for a decision.

28 digits, rounded down, so that less than the whole never shows as 1.
"""


def describe(amount: Decimal, digits: int = 8, *, round_up: bool = False) -> str:
    """Return an amount for people, such as `40,000.65`, rounded so that a shortfall never looks smaller.

    Args:
        amount: Finite.
        digits: How many significant digits to keep.
        round_up: For amounts that are needed or missing; available ones are rounded down.
    """
    context = Context(prec=digits, rounding=ROUND_CEILING if round_up else ROUND_FLOOR)
    return format(context.normalize(amount or ZERO), ",f")
