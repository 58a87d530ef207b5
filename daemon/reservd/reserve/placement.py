"""Which shared accounts the holds of accepted withdrawals come off."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.models import Bounds


class Placement(NamedTuple):
    """What of the holds comes off one account.

    Attributes:
        held: What is certain of that.
        left: What is certain of what the account has besides: this is split.
    """

    held: Bounds
    left: Bounds


class Reach(NamedTuple):
    """How far the own accounts of a mode reach to bear what it promised itself.

    Attributes:
        short: At worst.
        far: At best.
    """

    short: Decimal
    far: Decimal


class Placements(NamedTuple):
    """Where holds come off.

    Attributes:
        shared: What comes off each shared account, in order.
        own: What is certain of what comes off the own accounts of each mode, in order.
    """

    shared: tuple[Placement, ...]
    own: tuple[Bounds, ...]


def reach_of(promised: Decimal, own: Iterable[Bounds]) -> Reach:
    """Return how far the own accounts of a mode reach.

    Args:
        promised: By the mode itself, at least 0: they bear no more.
        own: What is certain of each of them.
    """
    ends = [_ends(bounds) for bounds in own]
    return Reach(
        min(promised, _sum(short for short, _ in ends)),
        min(promised, _sum(promised if far is None else far for _, far in ends)),
    )


def place_holds(held: Decimal, amounts: Sequence[Bounds], own: Sequence[Reach] = ()) -> Placements:
    """Take holds off shared accounts, one after the other as far as each reaches.

    What they do not cover comes off the own accounts of those who promised it, and what these do not cover either off
    the last shared account: nobody is called short for what another mode can pay by itself.

    An account that could not be read may cover all of the holds or none, so what comes off those after it has bounds
    as well: a hold that it covers is not theirs to bear.

    Args:
        held: Of all together, at least 0.
        amounts: What is certain of each shared account, in order.
        own: How far the own accounts of each mode reach, in order.
    """
    if not amounts:
        return Placements((), (Bounds(ZERO, ZERO),) * len(own))
    shared = []
    least = most = held
    *others, last = amounts
    for amount in others:
        short, far = _ends(amount)
        taken = Bounds(min(least, short), _within(most, far))
        shared.append(Placement(taken, _less(amount, min(most, short), _within(least, far))))
        least, most = subtract(least, _within(least, far)), subtract(most, min(most, short))
    short, far = _ends(last)
    at_worst, at_best = _sum(each.short for each in own), _sum(each.far for each in own)
    # More is there in the one case and the own accounts reach less far in the other, or the other way round.
    taken = Bounds(
        subtract(least, min(_beyond(least, short), at_best)), subtract(most, min(_beyond(most, far), at_worst))
    )
    left = _less(
        last,
        subtract(most, min(_beyond(most, short), at_worst)),
        subtract(least, min(_beyond(least, far), at_best)),
    )
    return Placements(
        (*shared, Placement(taken, left)), tuple(_share_rest(_beyond(least, far), _beyond(most, short), own))
    )


def _share_rest(least: Decimal, most: Decimal, own: Iterable[Reach]) -> Iterable[Bounds]:
    """Yield what comes off the own accounts of each mode, of a rest that lies between two ends."""
    for short, far in own:
        yield Bounds(min(least, short), min(most, far))
        least, most = subtract(least, min(least, far)), subtract(most, min(most, short))


def _ends(bounds: Bounds) -> tuple[Decimal, Decimal | None]:
    """Return how far an account reaches, at worst and at best; None: to the end."""
    lower, upper = bounds
    return max(ZERO, lower) if lower is not None else ZERO, max(ZERO, upper) if upper is not None else None


def _within(held: Decimal, reach: Decimal | None) -> Decimal:
    return held if reach is None else min(held, reach)


def _beyond(held: Decimal, reach: Decimal | None) -> Decimal:
    return ZERO if reach is None else max(ZERO, subtract(held, reach))


def _less(amount: Bounds, at_worst: Decimal, at_best: Decimal) -> Bounds:
    lower, upper = amount
    return Bounds(
        subtract(lower, at_worst) if lower is not None else None,
        subtract(upper, at_best) if upper is not None else None,
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(add, amounts, ZERO)
