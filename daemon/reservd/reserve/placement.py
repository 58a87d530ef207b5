"""Which shared accounts the holds of accepted withdrawals come off."""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.models import Bounds


class Placement(NamedTuple):
    """What of the holds comes off one account.

    Attributes:
        held: What is certain of that.
        left: What is certain of what the account has besides: this is split.
    """

    held: Bounds
    left: Bounds


def place_holds(held: Decimal, amounts: Sequence[Bounds]) -> list[Placement]:
    """Take holds off accounts, one after the other as far as each reaches, and the rest off the last of them.

    An account that could not be read may cover all of them or none, so what comes off those after it has bounds as
    well: a hold that it covers is not theirs to bear.

    Args:
        held: Of all together, at least 0.
        amounts: What is certain of each account, in order.

    Returns:
        The placements, in the same order.
    """
    placements = []
    least = most = held
    for number, (lower, upper) in enumerate(amounts, 1):
        # How far it reaches, at worst and at best; None: to the end.
        short: Decimal | None = max(ZERO, lower) if lower is not None else ZERO
        far: Decimal | None = max(ZERO, upper) if upper is not None else None
        if number == len(amounts):
            short = far = None
        placements.append(
            Placement(
                Bounds(_taken(least, short), _taken(most, far)),
                Bounds(
                    subtract(lower, _taken(most, short)) if lower is not None else None,
                    subtract(upper, _taken(least, far)) if upper is not None else None,
                ),
            )
        )
        least, most = subtract(least, _taken(least, far)), subtract(most, _taken(most, short))
    return placements


def _taken(held: Decimal, reach: Decimal | None) -> Decimal:
    return held if reach is None else min(held, reach)
