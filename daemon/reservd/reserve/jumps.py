"""Detects readings that moved too far to be believed at first sight.

A wallet that reads 0 once, an equity without its largest part, or a token read in the wrong unit is a jump, and so is a
real catastrophe. A second reading tells them apart, provided that it is one: a source that returns the same observation
again, of the same block or time, adds nothing.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache, reduce
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, multiply, subtract
from reservd.reserve.models import AccountPart, EquityParts, Observation, ReserveSnapshot

PATIENCE = timedelta(seconds=120)
"""How long a jump waits for a newer observation while the same one is repeated.

Longer than blocks and the usual scrape intervals, so that a single wrong value is replaced before. Limited, because a
source that updates once a day must not hide a real shortfall until then.
"""


class Worth(NamedTuple):
    """An equity that is believed, or doubted.

    Attributes:
        amount: None when it is unknown.
        parts: Its parts; None when its source reports none.
        seen: Its observation; None when nobody dates it.
    """

    amount: Decimal | None
    parts: EquityParts | None = None
    seen: Observation | None = None

    def moved_to(self, other: "Worth", max_jump: Decimal) -> bool:
        """Return whether it has moved too far since, or one of its parts is gone; False if one is unknown."""
        if self.amount is None or other.amount is None:
            return False
        return _shared_moved(self.amount, other.amount, max_jump) or _has_lost(self.parts, other.parts)

    def follows(self, before: "Worth", believed: "Worth", max_jump: Decimal) -> bool:
        """Return whether it is a newer observation than another one of what moved since it was believed.

        An old part that moves on must not confirm another one that is repeated, nor one that is repeated keep a real
        fall of another one in doubt. So what the repeated parts moved, alone and together, must be no jump. Where the
        parts do not explain the amount, its own observation counts.
        """
        if self.seen is None or before.seen is None:
            return True
        old, then, now = believed.whole_parts, before.parts, self.whole_parts
        if old and then and now and old.names == then.names == now.names and old.amounts != now.amounts:
            before_sum = without = reduce(add, old.amounts, ZERO)
            for was, amount, first, latest in zip(old.amounts, now.amounts, then.seen, now.seen, strict=True):
                if was != amount and not latest.follows(first):
                    if moved(was, amount, max_jump):
                        return False
                    without = add(without, subtract(amount, was))
            return not moved(before_sum, without, max_jump)
        return self.seen.follows(before.seen)

    @property
    def whole_parts(self) -> EquityParts | None:
        """Its parts if they add up to it, else None."""
        parts = self.parts
        return parts if parts is not None and reduce(add, parts.amounts, ZERO) == self.amount else None


def worth_of(snapshot: ReserveSnapshot | None) -> Worth:
    """Return the equity of a snapshot."""
    if snapshot is None:
        return Worth(None)
    return Worth(snapshot.total_equity, snapshot.equity_parts, snapshot.equity_seen)


class OwnFound(NamedTuple):
    """What a snapshot found in accounts that its mode does not share.

    Attributes:
        amounts: The amount of each.
        seen: The observation of each.
    """

    amounts: Sequence[Decimal]
    seen: Sequence[Observation]

    @property
    def total(self) -> Decimal:
        """The sum of the amounts."""
        return reduce(add, self.amounts, ZERO)

    def moved_to(self, amounts: Sequence[Decimal], max_jump: Decimal) -> bool:
        """Return whether the sum has moved too far since, or one of the amounts was emptied."""
        return moved(self.total, reduce(add, amounts, ZERO), max_jump) or has_emptied(self.amounts, amounts)


def found_own(snapshot: ReserveSnapshot | None) -> OwnFound | None:
    """Return what a snapshot found in a sharing mode's own accounts; None if it does not have them all."""
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


def found_shared(snapshot: ReserveSnapshot | None, account: str, asset: str) -> AccountPart | None:
    """Return what a snapshot found in a shared account; None if the mode did not count it."""
    parts = snapshot.accounts if snapshot is not None else ()
    named = (part for part in parts if part.method is not None and (part.account, part.asset) == (account, asset))
    return next(named, None)


def is_new_to_others(
    snapshot: ReserveSnapshot,
    equity: Worth,
    good: ReserveSnapshot | None,
    doubted: ReserveSnapshot | None,
    max_jump: Decimal,
) -> bool:
    """Return whether a snapshot is the first to show a jump that all who share accounts with its mode wait for.

    Until a second reading agrees, they assume both the old and the new value of its equity, of the sum of its own
    accounts, and of accounts that it shares with others than them.

    Args:
        snapshot: The new snapshot.
        equity: The last believed equity.
        good: The last conclusive snapshot, with which the sum of the own accounts is compared.
        doubted: The snapshot with the earlier jump; None when there is none.
        max_jump: As a part of the believed amount.
    """
    now, doubtful = worth_of(snapshot), worth_of(doubted)
    if equity.moved_to(now, max_jump) and (doubtful.amount is None or doubtful.moved_to(now, max_jump)):
        return True
    own, before, then = found_own(snapshot), found_own(good), found_own(doubted)
    return (
        own is not None
        and before is not None
        and before.moved_to(own.amounts, max_jump)
        and (then is None or then.moved_to(own.amounts, max_jump))
    ) or any(_shared_is_new(part, good, doubted, max_jump) for part in snapshot.accounts if part.method is not None)


def _shared_is_new(
    part: AccountPart, good: ReserveSnapshot | None, doubted: ReserveSnapshot | None, max_jump: Decimal
) -> bool:
    before, then = (found_shared(snapshot, part.account, part.asset) for snapshot in (good, doubted))
    if part.amount is None or before is None or before.amount is None:
        return False
    if not moved(before.amount, part.amount, max_jump):
        return False
    return then is None or then.amount is None or moved(then.amount, part.amount, max_jump)


def at_least(snapshot: ReserveSnapshot) -> Decimal | None:
    """Return the balance, or its lower bound if not everything was read; None if that is unknown."""
    return snapshot.reserve_balance if snapshot.bounds is None else snapshot.bounds.lower


def has_jumped(
    balance: Decimal | None,
    equity: Decimal | None,
    parts: tuple[Decimal, ...],
    snapshot: ReserveSnapshot,
    max_jump: Decimal,
    equity_parts: EquityParts | None = None,
) -> bool:
    """Return whether the balance or the equity of a snapshot moved by more than can be believed at first sight.

    Args:
        balance: The last believed balance; None when there was none: a first reading is no jump.
        equity: The last believed equity; None likewise.
        parts: The last believed balance of each account: one that is emptied is doubted, however small.
        snapshot: The new snapshot.
        max_jump: As a part of the believed amount.
        equity_parts: The parts of the last believed equity: one that is 0 now is doubted, however small.
    """
    total, now = snapshot.total_equity, snapshot.parts
    if equity is not None and total is not None and _shared_moved(equity, total, max_jump):
        return True
    if equity_parts is not None and equity is not None and _has_lost(equity_parts, snapshot.equity_parts):
        return True
    if now and min(now) <= ZERO and has_emptied(parts, now):
        return True
    if balance is None:
        return False
    amount = snapshot.reserve_balance
    if amount is None:
        # A partial balance is naturally less than the whole; it jumped only if it is more.
        amount = at_least(snapshot)
        if amount is None or amount <= balance:
            return False
    return moved(balance, amount, max_jump)


def agrees(doubted: ReserveSnapshot | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Return whether a snapshot confirms the doubted one, within a jump."""
    if doubted is None:
        return False
    return not has_jumped(
        at_least(doubted), doubted.total_equity, doubted.parts, snapshot, max_jump, doubted.equity_parts
    )


def agrees_in_sum(doubted: ReserveSnapshot | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Return whether a snapshot has the sums of the doubted one, within a jump, whichever parts of them are 0.

    Parts that take turns at 0 would otherwise be doubted for ever, and hide a fall.
    """
    if doubted is None or has_jumped(at_least(doubted), doubted.total_equity, (), snapshot, max_jump):
        return False
    before, now = found_own(doubted), found_own(snapshot)
    if before is not None and now is not None and moved(before.total, now.total, max_jump):
        return False
    return not any(
        _shared_is_new(part, doubted, None, max_jump) for part in snapshot.accounts if part.method is not None
    )


def is_second_look(
    doubted: ReserveSnapshot,
    snapshot: ReserveSnapshot,
    equity: Decimal | None,
    parts: tuple[Decimal, ...],
    max_jump: Decimal,
    equity_parts: EquityParts | None = None,
) -> bool:
    """Return whether a snapshot has newer observations of what jumped, so that it says more than the doubted one.

    A reading without a date counts as observed when it was read. If the balance jumped though no account did, as when
    more of it was promised, no newer observation is needed.

    Args:
        doubted: The first snapshot with the jump.
        snapshot: The new snapshot, which agrees with it.
        equity: The last believed equity.
        parts: The last believed balance of each account.
        max_jump: As a part of the believed amount.
        equity_parts: The parts of the last believed equity.
    """
    believed, now = Worth(equity, equity_parts), worth_of(snapshot)
    if believed.moved_to(now, max_jump) and not now.follows(worth_of(doubted), believed, max_jump):
        return False
    places = find_moved(parts, snapshot.parts, max_jump) if snapshot.parts else range(len(snapshot.seen))
    return follow(doubted.seen, snapshot.seen, places)


def find_moved(before: Sequence[Decimal], after: Sequence[Decimal], max_jump: Decimal) -> list[int]:
    """Return the indexes of amounts that jumped, or of all that changed if none did; all, if the accounts differ."""
    if len(before) != len(after):
        return list(range(len(after)))
    changed = [number for number, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return [number for number in changed if moved(before[number], after[number], max_jump)] or changed


def follow(before: Sequence[Observation], after: Sequence[Observation], places: Sequence[int]) -> bool:
    """Return whether observations are later than the earlier ones, as far as they matter."""
    if not before or not after:
        return True  # they have no dates
    if len(before) != len(after):
        return False  # other accounts failed this time, and it is unknown which
    return all(after[place].follows(before[place]) for place in places)


def has_emptied(before: Sequence[Decimal], after: Sequence[Decimal]) -> bool:
    """Return whether one of several accounts fell to 0 or below, or has lost its debt; False if the accounts differ."""
    return len(before) == len(after) and any(map(_emptied, before, after))


def _has_lost(before: EquityParts | None, after: EquityParts | None) -> bool:
    """Return whether a part of an equity, such as a position or a debt, is 0 now. One without a name now is not."""
    # Thousands of modes ask for the same parts, and some parts are 0 for long.
    if before is None or after is None or not after.gone or after.gone == before.gone:
        return False
    return not set(after.gone).isdisjoint(set(before.names).difference(before.gone))


def _emptied(before: Decimal, after: Decimal) -> bool:
    return after <= ZERO < before or before < ZERO == after


def moved(before: Decimal, after: Decimal, max_jump: Decimal) -> bool:
    """Return whether an amount moved by more than a part of its old value, or fell to 0 or below."""
    if after == before:
        return False
    # The most common wrong value is 0, so a fall to it is a jump whatever the limit.
    if after <= ZERO < before:
        return True
    return subtract(after, before).copy_abs() > multiply(max_jump, before).copy_abs()


# Thousands of modes that share an equity ask for the same comparison, one after the other.
_shared_moved = lru_cache(maxsize=64)(moved)
