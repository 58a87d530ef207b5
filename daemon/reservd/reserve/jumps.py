"""Detects readings that moved too far to be believed at first sight.

A wallet that reads 0 once, an equity without its largest part, a token read in the wrong unit:
all are jumps, and so is a real catastrophe. A second reading tells them apart, if it is one: a source that tells
the same observation again, of the same block or time, has said nothing new.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache, reduce
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, multiply, subtract
from reservd.reserve.models import Observation, ReserveSnapshot

PATIENCE = timedelta(seconds=120)
"""How long a jump waits at most for a newer observation of what jumped, while the same one is told again and again.

Longer than blocks and the usual scrape intervals, so that what is only wrong once is told anew before; and an end, as a
source that renews its numbers once a day must not hide a real shortfall until then.
"""


class OwnFound(NamedTuple):
    """What a snapshot found in accounts that its mode does not share.

    Attributes:
        amounts: Of each.
        seen: When each was true.
    """

    amounts: Sequence[Decimal]
    seen: Sequence[Observation]

    @property
    def total(self) -> Decimal:
        """All of it."""
        return reduce(add, self.amounts, ZERO)


def found_own(snapshot: ReserveSnapshot | None) -> OwnFound | None:
    """Return what a snapshot of a mode that shares accounts found in its others; None when it does not tell all."""
    if snapshot is None or not snapshot.accounts:
        return None
    amounts, seen = [], []
    for part in snapshot.accounts:
        if part.method is None:
            if part.amount is None or part.observed_at is None:
                return None
            amounts.append(part.amount)
            seen.append(Observation(part.observed_at, part.block))
    return OwnFound(amounts, seen)


def is_new_to_others(
    snapshot: ReserveSnapshot,
    equity: Decimal | None,
    good: ReserveSnapshot | None,
    doubted: ReserveSnapshot | None,
    max_jump: Decimal,
) -> bool:
    """Whether a snapshot tells for the first time of a jump that those who share accounts with its mode wait for.

    They reckon with what it was and with what it is, until a second reading agrees: of its equity, and of what it has
    in accounts of its own.

    Args:
        snapshot: What was found now.
        equity: The last equity that was believed.
        good: The last conclusive snapshot, with which what the mode has of its own is compared.
        doubted: What jumped before; None when nothing did.
        max_jump: As a part of what was believed.
    """
    own, before, then = found_own(snapshot), found_own(good), found_own(doubted)
    return _is_new(equity, doubted and doubted.total_equity, snapshot.total_equity, max_jump) or _is_new(
        before and before.total, then and then.total, own and own.total, max_jump
    )


def _is_new(before: Decimal | None, doubted: Decimal | None, now: Decimal | None, max_jump: Decimal) -> bool:
    if before is None or now is None or not moved(before, now, max_jump):
        return False
    return doubted is None or moved(doubted, now, max_jump)


def at_least(snapshot: ReserveSnapshot) -> Decimal | None:
    """Return the balance, or what is certain of it when not all was read; None when nothing is."""
    return snapshot.reserve_balance if snapshot.bounds is None else snapshot.bounds.lower


def has_jumped(
    balance: Decimal | None,
    equity: Decimal | None,
    parts: tuple[Decimal, ...],
    snapshot: ReserveSnapshot,
    max_jump: Decimal,
) -> bool:
    """Whether the balance or the equity of a snapshot moved by more than may be believed at first sight.

    Args:
        balance: The last that was believed; None when there was none: a first reading is no jump.
        equity: The same of the equity.
        parts: The same of each account: one that falls to 0 is doubted however little of the whole it is.
        snapshot: What was found now.
        max_jump: As a part of what was believed.
    """
    total, now = snapshot.total_equity, snapshot.parts
    if equity is not None and total is not None and _shared_moved(equity, total, max_jump):
        return True
    if now and len(parts) == len(now) and min(now) <= ZERO and any(map(_emptied, parts, now)):
        return True
    if balance is None:
        return False
    amount = snapshot.reserve_balance
    if amount is None:
        # A part of the balance is naturally less than the whole; only more than the whole is a jump.
        amount = at_least(snapshot)
        if amount is None or amount <= balance:
            return False
    return moved(balance, amount, max_jump)


def agrees(doubted: ReserveSnapshot | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Whether a snapshot says, within a jump, what the doubted one said."""
    if doubted is None:
        return False
    return not has_jumped(at_least(doubted), doubted.total_equity, doubted.parts, snapshot, max_jump)


def is_second_look(
    doubted: ReserveSnapshot,
    snapshot: ReserveSnapshot,
    equity: Decimal | None,
    parts: tuple[Decimal, ...],
    max_jump: Decimal,
) -> bool:
    """Whether a snapshot observed anew what jumped, so that it says more than the doubted one did.

    What its sources do not date counts as observed when it was read. A balance that jumped though no account did, as
    when more was promised of it, has nothing to be observed anew.

    Args:
        doubted: What jumped first.
        snapshot: What was found now, and agrees with it.
        equity: The last that was believed.
        parts: The same of each account.
        max_jump: As a part of what was believed.
    """
    before, now = doubted.equity_seen, snapshot.equity_seen
    if (
        before is not None
        and now is not None
        and equity is not None
        and snapshot.total_equity is not None
        and moved(equity, snapshot.total_equity, max_jump)
        and not now.follows(before)
    ):
        return False
    places = find_moved(parts, snapshot.parts, max_jump) if snapshot.parts else range(len(snapshot.seen))
    return follow(doubted.seen, snapshot.seen, places)


def find_moved(before: Sequence[Decimal], after: Sequence[Decimal], max_jump: Decimal) -> list[int]:
    """Return where amounts jumped; where they changed, when none jumped alone; all places, when accounts are others."""
    if len(before) != len(after):
        return list(range(len(after)))
    changed = [number for number, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return [number for number in changed if moved(before[number], after[number], max_jump)] or changed


def follow(before: Sequence[Observation], after: Sequence[Observation], places: Sequence[int]) -> bool:
    """Whether observations are later than those before, as far as they matter."""
    if not before or not after:
        return True  # nobody dated them
    if len(before) != len(after):
        return False  # other accounts failed this time: which is which, they do not tell
    return all(after[place].follows(before[place]) for place in places)


def _emptied(before: Decimal, after: Decimal) -> bool:
    return after <= ZERO < before


def moved(before: Decimal, after: Decimal, max_jump: Decimal) -> bool:
    """Whether an amount moved by more than a part of what it was, or fell to 0 or below."""
    if after == before:
        return False
    # The commonest rubbish is a 0, so falling to it is a jump however large a jump may be.
    if after <= ZERO < before:
        return True
    return subtract(after, before).copy_abs() > multiply(max_jump, before).copy_abs()


# Modes that share an equity ask for the same one by the thousand, one after the other.
_shared_moved = lru_cache(maxsize=64)(moved)
