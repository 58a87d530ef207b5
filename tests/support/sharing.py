"""Accounts shared by modes, without sources, for the tests of allocation."""

from collections.abc import Sequence
from decimal import Decimal, localcontext

from reservd.reserve.allocation import AllocationTerms, Allotment, Claim, SharedBalance, Sharer, allocate
from reservd.reserve.models import AllocationMethod, Bounds

PRO_RATA, PRIORITY, DEDICATED = AllocationMethod


def bounds(amount: object) -> Bounds:
    """Return bounds: a number is both ends; a pair has the two ends, None for no bound."""
    lower, upper = amount if isinstance(amount, tuple) else (amount, amount)
    return Bounds(*(None if end is None else Decimal(str(end)) for end in (lower, upper)))


def make_sharer(
    target: object, own: object = 0, *, reckoned_target: object = None, reckoned_own: object = None, **terms: object
) -> Sharer:
    """Return a sharer; pairs are bounds.

    `reckoned_` values, on which the others base their parts, equal its own by default.
    """
    seen = Claim(bounds(target), bounds(own))
    reckoned = Claim(
        seen.target if reckoned_target is None else bounds(reckoned_target),
        seen.own if reckoned_own is None else bounds(reckoned_own),
    )
    amounts = {name: Decimal(str(value)) for name, value in terms.items() if name in {"amount", "ratio"}}
    return Sharer(seen, reckoned, AllocationTerms(**{**terms, **amounts}))  # type: ignore[arg-type]


def split(amount: object, sharers: Sequence[Sharer], method: AllocationMethod = PRO_RATA) -> tuple[Allotment, ...]:
    """Split one balance that all share."""
    return allocate([SharedBalance(bounds(amount), tuple(range(len(sharers))))], sharers, method)


def parts_of(allotments: Sequence[Allotment]) -> list[Decimal]:
    """Return the parts of the first balance, all of which must be certain."""
    parts = [allotment.parts[0] for allotment in allotments]
    known = [part for part in parts if part is not None]
    assert len(known) == len(parts)
    return known


def total_of(amounts: Sequence[Decimal]) -> Decimal:
    """Return an exact sum."""
    with localcontext(prec=500):
        return sum(amounts, Decimal(0))
