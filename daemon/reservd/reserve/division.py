"""Divides whole units of money so that none is lost and none is created."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from reservd.reserve.models import AllocationMethod


class Side(Enum):
    """Which bound of a part a division is for."""

    DOWN = "down"
    """The lower bound: fractions of a unit are dropped."""
    NONE = "none"
    """The bounds are the same: parts add up to the whole."""
    UP = "up"
    """The upper bound: fractions of a unit count as one."""


class Stake(NamedTuple):
    """One sharer in one case, in units. None is unbounded; for `own`, towards the side of the case.

    Attributes:
        target: The target up to which it is served.
        burden: The weight by which it bears debts: the target, or what is dedicated to it.
        own: What it has.
        priority: The lowest is served first.
        dedicated: What it still gets of all balances together.
        ratio: Numerator and denominator of the part of each balance that it gets instead; None without a ratio.
    """

    target: int | None
    burden: int | None
    own: int | None
    priority: int
    dedicated: int | None
    ratio: tuple[int, int] | None

    def lack(self, side: Side) -> int | None:
        """Return what it lacks to its target; None if that is unbounded."""
        if self.own is None:
            return 0 if side is Side.UP else None
        return None if self.target is None else max(0, self.target - self.own)


def divide(amount: int, stakes: Sequence[Stake], method: AllocationMethod, side: Side) -> list[int]:
    """Divide one balance among its sharers.

    Args:
        amount: In units.
        stakes: In the order of the sharers.
        method: How to divide.
        side: How to round fractions of a unit.

    Returns:
        The parts, in the order of the stakes.
    """
    if method is AllocationMethod.DEDICATED:
        wanted = [_dedicated(amount, stake) for stake in stakes]
        known = [want for want in wanted if want is not None]
        return known if len(known) == len(wanted) and sum(known) <= amount else _apportion(amount, wanted, side)
    if amount < 0:
        return _apportion(amount, [stake.burden for stake in stakes], side)
    parts = [0] * len(stakes)
    for tier in sorted({stake.priority for stake in stakes}):
        lacks = [stake.lack(side) if stake.priority == tier else 0 for stake in stakes]
        known = [lack for lack in lacks if lack is not None]
        if len(known) < len(lacks) or sum(known) > amount:
            return _sums(parts, _apportion(amount, lacks, side))
        parts = _sums(parts, known)
        amount -= sum(known)
    return _sums(parts, _apportion(amount, [stake.target for stake in stakes], side))


def _dedicated(amount: int, stake: Stake) -> int | None:
    """Return what a balance owes a sharer, or its weight for a debt. Units are small enough for ratios to be exact."""
    if stake.ratio is not None:
        numerator, denominator = stake.ratio
        return abs(amount) * numerator // denominator
    if amount < 0:
        return stake.burden
    return None if stake.dedicated is None else max(0, stake.dedicated)


def _apportion(amount: int, weights: Sequence[int | None], side: Side) -> list[int]:
    """Divide an amount by weights, equally if all are 0; unbounded weights take everything.

    Each share is rounded down or up by less than a unit; or exactly, so that the shares add up to the amount.
    """
    if None in weights:
        weights = [int(weight is None) for weight in weights]
    numbers = [weight or 0 for weight in weights]
    if not any(numbers):
        numbers = [1] * len(numbers)
    whole = sum(numbers)
    divided = [divmod(amount * number, whole) for number in numbers]
    rest = amount - sum(share for share, _ in divided)
    if side is not Side.NONE:
        rest = len(divided) if side is Side.UP else 0
    shares = []
    for share, remainder in divided:
        extra = int(remainder > 0 and rest > 0)
        shares.append(share + extra)
        rest -= extra
    return shares


def _sums(a: Iterable[int], b: Iterable[int]) -> list[int]:
    return [one + other for one, other in zip(a, b, strict=True)]
