"""Decides which shared accounts bear the holds of accepted withdrawals."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.models import Bounds


class Placement(NamedTuple):
    """The holds that one account bears.

    Attributes:
        held: Bounds on the amount of these holds.
        left: Bounds on the rest of the account, which is split.
    """

    held: Bounds
    left: Bounds


class Reach(NamedTuple):
    """How much of its own promises a mode's own accounts can bear.

    Attributes:
        short: In the worst case.
        far: In the best case.
    """

    short: Decimal
    far: Decimal


class Placements(NamedTuple):
    """Where holds are taken off.

    Attributes:
        shared: The holds on each shared account, in order.
        own: Bounds on the holds on the own accounts of each mode, in order.
    """

    shared: tuple[Placement, ...]
    own: tuple[Bounds, ...]


def reach_of(promised: Decimal, own: Iterable[Bounds]) -> Reach:
    """Return how much a mode's own accounts can bear.

    Args:
        promised: What the mode itself has promised, at least 0: they bear no more.
        own: Bounds on each of them.
    """
    ends = [_ends(bounds) for bounds in own]
    return Reach(
        min(promised, _sum(short for short, _ in ends)),
        min(promised, _sum(promised if far is None else far for _, far in ends)),
    )


def place_holds(held: Decimal, amounts: Sequence[Bounds], own: Sequence[Reach] = ()) -> Placements:
    """Take holds off shared accounts, one after the other, up to the balance of each.

    A rest is taken off the own accounts of the modes that promised it, and what they do not cover off the last shared
    account: no mode is short because of a promise that another mode can pay by itself.

    An account that could not be read may cover all of the holds or none, so the holds on the accounts after it have
    bounds as well: they do not bear a hold that it covers.

    Args:
        held: The total of all modes, at least 0.
        amounts: Bounds on each shared account, in order.
        own: How much the own accounts of each mode can bear, in order.
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
    # In one case there is more and the own accounts bear less; in the other case it is the other way round.
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
    """Yield the holds on the own accounts of each mode, for a rest between two bounds."""
    for short, far in own:
        yield Bounds(min(least, short), min(most, far))
        least, most = subtract(least, min(least, far)), subtract(most, min(most, short))


def _ends(bounds: Bounds) -> tuple[Decimal, Decimal | None]:
    """Return how much an account can bear, at worst and at best; None: everything."""
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
