"""Splits accounts that several modes count, so that no unit of money counts twice.

An account is split by what each of its sharers still lacks: its target, less what it has already, of its own and
out of accounts that were split before. Where a sharer is not known to the unit, the others get bounds: what is
left if it needs most, and what is left if it needs least.

All is counted in whole units of the last decimal, as integers: nothing is rounded away.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, decimals, from_units, subtract, to_units
from reservd.reserve.models import AllocationMethod, Bounds

_MIN_PLACES = 18
"""Parts may have so many decimals, as most tokens have at most; more where amounts have more."""
_DOWN, _EXACTLY, _UP = -1, 0, 1

NOTHING = Bounds(ZERO, ZERO)


class AllocationTerms(NamedTuple):
    """What a mode's owner decided about the accounts that it shares.

    Attributes:
        method: The same for all sharers of an account.
        priority: For `priority`: the least is served first; those with the same are served pro rata.
        amount: For `dedicated`: what the mode gets of all accounts that it shares together.
        ratio: For `dedicated`, in place of an amount: the part of each account that it gets, 0 to 1.
    """

    method: AllocationMethod = AllocationMethod.PRO_RATA
    priority: int | None = None
    amount: Decimal | None = None
    ratio: Decimal | None = None


class Claim(NamedTuple):
    """What is certain of a sharer.

    Attributes:
        target: Of its target, at least 0. No upper bound: it may need everything.
        own: Of what it has in accounts of its own. No bound: they may hold, or owe, anything.
    """

    target: Bounds
    own: Bounds


class Sharer(NamedTuple):
    """One mode that shares accounts.

    Attributes:
        seen: As its own readings have it: its own allotment is computed with this.
        reckoned: The same, or wider: what the others must reckon with.
        terms: What its owner decided.
    """

    seen: Claim
    reckoned: Claim
    terms: AllocationTerms = AllocationTerms()

    @property
    def certain(self) -> bool:
        """Whether it is known to the unit."""
        return self.seen == self.reckoned and is_exact(self.seen.target) and is_exact(self.seen.own)


class SharedBalance(NamedTuple):
    """One account that is split.

    Attributes:
        amount: What is certain of it.
        sharers: The numbers of those who share it.
        held: Promised to accepted withdrawals: taken off before the split.
    """

    amount: Bounds
    sharers: tuple[int, ...]
    held: Decimal = ZERO


class Allotment(NamedTuple):
    """What one sharer gets.

    Attributes:
        total: With what it has of its own; one number when both ends are equal.
        parts: Of each balance, in their order; 0 of those that it does not share, None where it is not certain.
    """

    total: Bounds
    parts: tuple[Decimal | None, ...]


def is_exact(bounds: Bounds) -> bool:
    """Whether both ends are there and equal."""
    return bounds.lower is not None and bounds.lower == bounds.upper


def allocate(
    balances: Sequence[SharedBalance], sharers: Sequence[Sharer], method: AllocationMethod
) -> tuple[Allotment, ...]:
    """Split balances, one after the other, each by what its sharers lack after those before it.

    - `pro_rata`: in proportion to what each lacks;
    - `priority`: in the order of priorities, each up to its target;
    - in both, what is left when all are at target goes by target, equally where all targets are 0;
    - `dedicated`: to each its amount or ratio, and the rest to nobody; where the balance does not cover them, in
      proportion to them.

    A debt is borne by target, under `dedicated` by amount or ratio. What cannot be divided to the last unit goes to
    the first sharers, in their order, one unit each: the parts sum to the whole.

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


class _Stake(NamedTuple):
    """One sharer in one case, in units. None has no end; of what it owns, to the side of the case.

    Attributes:
        target: By which it is served.
        burden: The target by which it bears debts.
        own: What it has.
        priority: The least is served first.
        dedicated: What it gets of all balances together; None when it gets a ratio.
        ratio: Numerator and denominator.
    """

    target: int | None
    burden: int | None
    own: int | None
    priority: int
    dedicated: int | None
    ratio: tuple[int, int]

    def lack(self, side: int) -> int | None:
        """Return what it lacks to its target; None: no end of it."""
        if self.own is None:
            return 0 if side == _UP else None
        return None if self.target is None else max(0, self.target - self.own)


_Parts = list[list[int | None]]
"""By sharer and balance; None has no end."""


class _Ledger:
    """The balances and sharers of one split, in units."""

    def __init__(self, balances: Sequence[SharedBalance], sharers: Sequence[Sharer], method: AllocationMethod) -> None:
        self._sharers = sharers
        self._certain = all(sharer.certain for sharer in sharers)
        self._method = method
        self._members = [balance.sharers for balance in balances]
        self._places = _places(balances, sharers)
        self._lower = [self._units(each.amount.lower, each.held) for each in balances]
        self._upper = [self._units(each.amount.upper, each.held) for each in balances]

    def view(self, viewer: int | None) -> tuple[_Parts, _Parts]:
        """Return the parts in the worst and in the best case, as one sharer sees it; None: one that is certain."""
        numbers = range(len(self._sharers))
        worst = [self._stake(number, _DOWN, is_viewer=number == viewer) for number in numbers]
        best = worst
        if not self._certain:
            best = [self._stake(number, _UP, is_viewer=number == viewer) for number in numbers]
        owned = [stake.own for stake in worst]
        if worst == best and self._lower == self._upper and None not in (*self._lower, *owned):
            parts = self._split_all(self._lower, worst, _EXACTLY)
            return parts, parts
        return self._split_all(self._lower, worst, _DOWN), self._split_all(self._upper, best, _UP)

    def allotment(self, number: int, view: tuple[_Parts, _Parts]) -> Allotment:
        """Return what a sharer gets by a view that is its own."""
        own = self._sharers[number].seen.own
        least, most = (ends[number] for ends in view)
        return Allotment(
            Bounds(self._total(own.lower, least), self._total(own.upper, most)),
            tuple([self._amount(a) if a == b else None for a, b in zip(least, most, strict=True)]),
        )

    def _stake(self, number: int, side: int, *, is_viewer: bool) -> _Stake:
        """Return a sharer in the worst (`_DOWN`) or the best case for the viewer."""
        sharer = self._sharers[number]
        claim, terms = sharer.seen if is_viewer else sharer.reckoned, sharer.terms
        if self._method is AllocationMethod.DEDICATED:
            claim = Claim(NOTHING, NOTHING)  # neither has a say
        # Others at their worst need most and bear least; the viewer itself needs least and bears most.
        ends = claim.target if is_viewer is (side == _DOWN) else Bounds(claim.target.upper, claim.target.lower)
        return _Stake(
            self._units(ends.lower),
            self._units(ends.upper),
            self._units(claim.own.lower if side == _DOWN else claim.own.upper),
            (terms.priority or 0) if self._method is AllocationMethod.PRIORITY else 0,
            self._units(terms.amount),
            (terms.ratio or ZERO).as_integer_ratio(),
        )

    def _split_all(self, amounts: Sequence[int | None], stakes: Sequence[_Stake], side: int) -> _Parts:
        """Split all balances in one case."""
        stakes = list(stakes)
        parts: _Parts = [[0] * len(amounts) for _ in stakes]
        for index, (amount, members) in enumerate(zip(amounts, self._members, strict=True)):
            found: list[int | None] = [None] * len(members)
            if amount is not None:
                found[:] = self._split(amount, [stakes[number] for number in members], side)
            for number, part in zip(members, found, strict=True):
                stake, parts[number][index] = stakes[number], part
                own = stake.own + part if stake.own is not None and part is not None else None
                rest = stake.dedicated
                if rest is not None and part is not None:
                    rest -= part
                stakes[number] = stake._replace(own=own, dedicated=rest)
        return parts

    def _split(self, amount: int, stakes: Sequence[_Stake], side: int) -> list[int]:
        if self._method is AllocationMethod.DEDICATED:
            wanted = [_dedicated(amount, stake) for stake in stakes]
            return wanted if sum(wanted) <= amount else _apportion(amount, wanted, side)
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

    def _total(self, own: Decimal | None, parts: Sequence[int | None]) -> Decimal | None:
        known = [part for part in parts if part is not None]
        if own is None or len(known) < len(parts):
            return None
        return add(own, from_units(sum(known), self._places))

    def _units(self, amount: Decimal | None, less: Decimal = ZERO) -> int | None:
        return None if amount is None else to_units(subtract(amount, less), self._places)

    def _amount(self, units: int | None) -> Decimal | None:
        return None if units is None else from_units(units, self._places)


def _dedicated(amount: int, stake: _Stake) -> int:
    """Return what a balance owes a sharer. A ratio divides without a rest: `_places` sees to that."""
    if stake.dedicated is not None:
        return max(0, stake.dedicated)
    numerator, denominator = stake.ratio
    return abs(amount) * numerator // denominator


def _apportion(amount: int, weights: Sequence[int | None], side: int) -> list[int]:
    """Divide an amount by weights, equally when all are 0; weights without end take all.

    Rounded down or up by less than a unit each; or exactly, so that the shares sum to the amount.
    """
    if None in weights:
        weights = [int(weight is None) for weight in weights]
    numbers = [weight or 0 for weight in weights]
    if not any(numbers):
        numbers = [1] * len(numbers)
    whole = sum(numbers)
    divided = [divmod(amount * number, whole) for number in numbers]
    rest = amount - sum(share for share, _ in divided)
    if side != _EXACTLY:
        rest = len(divided) if side == _UP else 0
    shares = []
    for share, remainder in divided:
        extra = int(remainder > 0 and rest > 0)
        shares.append(share + extra)
        rest -= extra
    return shares


def _sums(a: Iterable[int], b: Iterable[int]) -> list[int]:
    return [one + other for one, other in zip(a, b, strict=True)]


def _places(balances: Iterable[SharedBalance], sharers: Iterable[Sharer]) -> int:
    """Return how many decimals keep every number, and every ratio of one, exact."""
    sharers = list(sharers)
    amounts = chain.from_iterable(
        [
            *((*balance.amount, balance.held) for balance in balances),
            *((*claim.target, *claim.own) for sharer in sharers for claim in (sharer.seen, sharer.reckoned)),
            [sharer.terms.amount for sharer in sharers],
        ]
    )
    most = max((decimals(amount) for amount in amounts if amount is not None), default=0)
    return max(_MIN_PLACES, most + max((decimals(each.terms.ratio or ZERO) for each in sharers), default=0))
