"""Splits accounts that several modes share, so that no unit of money counts twice.

An account is split by the shortfall of each of its sharers: its target, less its own accounts and its parts of the
accounts that were split before. If the amounts of a sharer are uncertain, the others get bounds: what is left if it
needs the most, and if it needs the least.

All amounts are integers, in units of the last decimal: nothing is rounded away.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, decimals, from_units, to_units
from reservd.reserve.division import Side, Stake, divide
from reservd.reserve.models import AllocationMethod, Bounds

_MIN_PLACES = 18
"""The least number of decimals of a part, enough for most tokens; more if amounts have more."""


class AllocationTerms(NamedTuple):
    """How a mode's owner wants the accounts that it shares to be split.

    Attributes:
        method: The same for all sharers of an account.
        priority: For `priority`: the lowest is served first; equal ones are served pro rata.
        amount: For `dedicated`: what the mode gets out of all accounts that it shares, together.
        ratio: For `dedicated`, in place of an amount: the part of each account that it gets, 0 to 1.
    """

    method: AllocationMethod = AllocationMethod.PRO_RATA
    priority: int | None = None
    amount: Decimal | None = None
    ratio: Decimal | None = None


class Claim(NamedTuple):
    """What is certain about a sharer's amounts.

    Attributes:
        target: Bounds on its target, at least 0. No upper bound: it may need everything.
        own: Bounds on the sum of its own accounts. No bound: they may hold, or owe, any amount.
    """

    target: Bounds
    own: Bounds


class Sharer(NamedTuple):
    """One mode that shares accounts.

    Attributes:
        seen: By its own readings: its own allotment is computed with this.
        reckoned: The same, or wider: the allotments of the others are computed with this.
        terms: What its owner decided.
    """

    seen: Claim
    reckoned: Claim
    terms: AllocationTerms = AllocationTerms()

    @property
    def certain(self) -> bool:
        """Whether its amounts are known exactly."""
        return self.seen == self.reckoned and is_exact(self.seen.target) and is_exact(self.seen.own)


class SharedBalance(NamedTuple):
    """One account that is split.

    Attributes:
        amount: Bounds on its balance, with holds taken off.
        sharers: The indexes of its sharers.
    """

    amount: Bounds
    sharers: tuple[int, ...]


class Allotment(NamedTuple):
    """What one sharer gets.

    Attributes:
        total: Bounds on its reserve, own accounts included; equal when it is certain.
        parts: Its part of each balance, in their order; 0 if it does not share it, None if it is not certain.
    """

    total: Bounds
    parts: tuple[Decimal | None, ...]


def is_exact(bounds: Bounds) -> bool:
    """Return whether both bounds are known and equal."""
    return bounds.lower is not None and bounds.lower == bounds.upper


def allocate(
    balances: Sequence[SharedBalance], sharers: Sequence[Sharer], method: AllocationMethod
) -> tuple[Allotment, ...]:
    """Split balances one after the other, each by what its sharers lack after those before it.

    - `pro_rata`: in proportion to what each lacks;
    - `priority`: in the order of priorities, each up to its target;
    - in both, a surplus over all targets is split by target, equally if all targets are 0;
    - `dedicated`: its amount or ratio to each, and the rest to nobody; in proportion to them if the balance is too
      small.

    A debt is split by target, under `dedicated` by amount or ratio. Units that cannot be divided go to the first
    sharers, in their order, one each: the parts add up to the whole.

    Args:
        balances: In the order in which they are split.
        sharers: In the order of the configuration.
        method: The same for all.

    Returns:
        What each sharer gets, in their order.
    """
    ledger = _Ledger(balances, sharers, method)
    common = ledger.view(None)
    return tuple(
        ledger.allotment(number, common if sharer.certain else ledger.view(number))
        for number, sharer in enumerate(sharers)
    )


_Parts = list[list[int | None]]
"""By sharer and balance, in units; None is unbounded."""


class _Ledger:
    """The balances and sharers of one split, in units."""

    def __init__(self, balances: Sequence[SharedBalance], sharers: Sequence[Sharer], method: AllocationMethod) -> None:
        self._sharers = sharers
        self._certain = all(sharer.certain for sharer in sharers)
        self._method = method
        self._members = [balance.sharers for balance in balances]
        self._places = _places(balances, sharers)
        self._lower = [self._units(each.amount.lower) for each in balances]
        self._upper = [self._units(each.amount.upper) for each in balances]

    def view(self, viewer: int | None) -> tuple[_Parts, _Parts]:
        """Return the parts in the worst and the best case, in one sharer's view; in that of certain ones when None."""
        numbers = range(len(self._sharers))
        worst = [self._stake(number, Side.DOWN, is_viewer=number == viewer) for number in numbers]
        best = worst
        if not self._certain:
            best = [self._stake(number, Side.UP, is_viewer=number == viewer) for number in numbers]
        owned = [stake.own for stake in worst]
        if worst == best and self._lower == self._upper and None not in (*self._lower, *owned):
            parts = self._split_all(self._lower, worst, Side.NONE)
            return parts, parts
        return self._split_all(self._lower, worst, Side.DOWN), self._split_all(self._upper, best, Side.UP)

    def allotment(self, number: int, view: tuple[_Parts, _Parts]) -> Allotment:
        """Return what a sharer gets in its own view."""
        own = self._sharers[number].seen.own
        least, most = (ends[number] for ends in view)
        return Allotment(
            Bounds(self._total(own.lower, least), self._total(own.upper, most)),
            tuple([self._amount(a) if a == b else None for a, b in zip(least, most, strict=True)]),
        )

    def _stake(self, number: int, side: Side, *, is_viewer: bool) -> Stake:
        """Return a sharer's stake in the viewer's worst case (`Side.DOWN`) or best case."""
        sharer = self._sharers[number]
        claim, terms = sharer.seen if is_viewer else sharer.reckoned, sharer.terms
        if self._method is AllocationMethod.DEDICATED:  # its needs and own accounts do not matter
            dedicated = self._units(terms.amount)
            ratio = (terms.ratio or ZERO).as_integer_ratio() if dedicated is None else None
            return Stake(None, dedicated, 0, 0, dedicated, ratio)
        # In the viewer's worst case others need the most and bear the least, while it needs the least and bears the
        # most.
        ends = claim.target if is_viewer is (side is Side.DOWN) else Bounds(claim.target.upper, claim.target.lower)
        return Stake(
            self._units(ends.lower),
            self._units(ends.upper),
            self._units(claim.own.lower if side is Side.DOWN else claim.own.upper),
            (terms.priority or 0) if self._method is AllocationMethod.PRIORITY else 0,
            None,
            None,
        )

    def _split_all(self, amounts: Sequence[int | None], stakes: Sequence[Stake], side: Side) -> _Parts:
        """Split all balances in one case."""
        stakes = list(stakes)
        parts: _Parts = [[0] * len(amounts) for _ in stakes]
        for index, (amount, members) in enumerate(zip(amounts, self._members, strict=True)):
            found: list[int | None] = [None] * len(members)
            if amount is not None:
                found[:] = _divide(amount, [stakes[number] for number in members], self._method, side)
            for number, part in zip(members, found, strict=True):
                stake, parts[number][index] = stakes[number], part
                own = stake.own + part if stake.own is not None and part is not None else None
                stakes[number] = stake._replace(own=own, dedicated=_rest(stake.dedicated, part, side))
        return parts

    def _total(self, own: Decimal | None, parts: Sequence[int | None]) -> Decimal | None:
        known = [part for part in parts if part is not None]
        if own is None or len(known) < len(parts):
            return None
        return add(own, from_units(sum(known), self._places))

    def _units(self, amount: Decimal | None) -> int | None:
        return None if amount is None else to_units(amount, self._places)

    def _amount(self, units: int | None) -> Decimal | None:
        return None if units is None else from_units(units, self._places)


def _divide(amount: int, stakes: Sequence[Stake], method: AllocationMethod, side: Side) -> list[int]:
    """Divide a balance. If it is a debt and targets are uncertain, each bears all of it at worst and none at best.

    A sharer that bears more of a debt lacks more of the balances after it, so the best case for it in one is the worst
    in the others: no single division gives the bounds.
    """
    by_need = method is not AllocationMethod.DEDICATED
    if amount < 0 and by_need and any(stake.target != stake.burden for stake in stakes):
        return [amount if side is Side.DOWN else 0] * len(stakes)
    return divide(amount, stakes, method, side)


def _rest(dedicated: int | None, part: int | None, side: Side) -> int | None:
    """Return what is still dedicated to a sharer after a part; a part of None is unbounded on this side."""
    if part is None:
        return 0 if side is Side.UP else None
    return None if dedicated is None else dedicated - part


def _places(balances: Sequence[SharedBalance], sharers: Sequence[Sharer]) -> int:
    """Return how many decimals represent every amount, and its product with every ratio, exactly."""
    ends = [
        *(balance.amount for balance in balances),
        *(bounds for each in sharers for bounds in (*each.seen, *each.reckoned)),
    ]
    # Most occur several times, and counting decimals costs more than comparing.
    amounts = {end for bounds in ends for end in bounds}
    amounts.update(sharer.terms.amount for sharer in sharers)
    return max(_MIN_PLACES, _most_decimals(amounts) + _most_decimals({sharer.terms.ratio for sharer in sharers}))


def _most_decimals(amounts: Iterable[Decimal | None]) -> int:
    return max((decimals(amount) for amount in amounts if amount is not None), default=0)
