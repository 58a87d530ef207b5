"""Readings that moved too far to be believed at first sight.

A wallet that reads 0 once, an equity without its largest part, a token read in the wrong unit:
all are jumps, and so is a real catastrophe. A second reading tells them apart.
"""

from decimal import Decimal

from reservd.reserve.amounts import ZERO, multiply, subtract
from reservd.reserve.models import ReserveSnapshot


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
    if equity is not None and snapshot.total_equity is not None and moved(equity, snapshot.total_equity, max_jump):
        return True
    if parts and len(parts) == len(snapshot.parts) and any(map(_emptied, parts, snapshot.parts)):
        return True
    amount = at_least(snapshot)
    if balance is None or amount is None:
        return False
    # A part of the balance is naturally less than the whole; only more than the whole is a jump.
    return (snapshot.bounds is None or amount > balance) and moved(balance, amount, max_jump)


def agrees(doubted: ReserveSnapshot | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Whether a snapshot says, within a jump, what the doubted one said."""
    if doubted is None:
        return False
    return not has_jumped(at_least(doubted), doubted.total_equity, doubted.parts, snapshot, max_jump)


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
