"""What a mode's readings say it needs of the accounts that it shares, and what the others must reckon with."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from reservd.reserve.allocation import AllocationTerms, Claim, Sharer
from reservd.reserve.amounts import ZERO, add, describe, multiply, subtract
from reservd.reserve.jumps import moved
from reservd.reserve.models import Bounds, ReserveSnapshot
from reservd.reserve.policy import Missing, ReservePolicy, believed_equity, is_current
from reservd.reserve.readings import Balance, Equity
from reservd.reserve.tracker import TrackerState

_GROWTH = Decimal("1.25")
"""How much the target of a mode may have grown since it was last known."""


class AccountReading(NamedTuple):
    """What a check found of one asset of one account.

    Attributes:
        account: What people call it: `source/account`.
        asset: The asset.
        found: What is there; None when it could not be read.
        problem: Why it could not; empty when it could.
        non_negative: Whether it can only hold 0 or more.
    """

    account: str
    asset: str
    found: Balance | None
    problem: str = ""
    non_negative: bool = False

    def at(self, now: datetime, policy: ReservePolicy) -> "AccountReading":
        """Return what of it a mode may believe now."""
        if self.found is None or is_current(self.found.observed_at, now, policy):
            return self
        problem = f"{self.asset} is of {self.found.observed_at.isoformat()}, too far from now to be believed"
        return self._replace(found=None, problem=problem)

    @property
    def bounds(self) -> Bounds:
        """What is certain of the amount."""
        if self.found is not None:
            return Bounds(self.found.amount, self.found.amount)
        return Bounds(ZERO if self.non_negative else None, None)


class Member(NamedTuple):
    """One mode that shares accounts, and what a check read for it.

    Attributes:
        policy: What its owner decided.
        terms: What its owner decided of shared accounts.
        state: What is remembered of it.
        equity: What was read.
        own: The accounts that it does not share.
        owed: Accepted withdrawals that the equity still shows.
    """

    policy: ReservePolicy
    terms: AllocationTerms
    state: TrackerState
    equity: Equity | Missing | None
    own: tuple[AccountReading, ...]
    owed: Decimal = ZERO

    def believed(self, now: datetime) -> "Member":
        """Return the member with what it may believe now of its own accounts."""
        return self._replace(own=tuple([reading.at(now, self.policy) for reading in self.own]))


class Assessment(NamedTuple):
    """What a member brings to the split.

    Attributes:
        sharer: What it needs.
        doubt: Why others cannot tell what it needs; empty when they can.
        doubted: Whether it is because a reading jumped, and no second one agreed yet.
    """

    sharer: Sharer
    doubt: str
    doubted: bool


def assess(member: Member, balances: Sequence[Balance], now: datetime) -> Assessment:
    """Return what a member needs of shared accounts.

    A target that cannot be told is anything from 0 to 1.25 of the last good one; without one, it has no end. An
    equity or an own balance that jumped is what it was or what it is, until a second reading agrees: the mode itself
    goes by the new one, which its tracker doubts.

    Args:
        member: The mode, and what was read for it and may be believed.
        balances: All its balances that may be believed, shared ones included.
        now: The instant of the check, aware UTC.
    """
    target, doubt, target_jumped = _assess_target(member, balances, now)
    own, own_doubt, own_jumped = _assess_own(member)
    sharer = Sharer(Claim(target.seen, own.seen), Claim(target.reckoned, own.reckoned), member.terms)
    return Assessment(sharer, "; ".join(filter(None, (doubt, own_doubt))), target_jumped or own_jumped)


class _Range(NamedTuple):
    seen: Bounds
    reckoned: Bounds


def _assess_target(member: Member, balances: Sequence[Balance], now: datetime) -> tuple[_Range, str, bool]:
    """Return what is certain of the target, why not more is, and whether that is because it jumped."""
    policy, state = member.policy, member.state
    equity, problem = believed_equity(member.equity, balances, policy, now)
    before = state.believed_equity
    if equity is None:
        most = multiply(_target(before, member), _GROWTH) if before is not None else None
        bounds = Bounds(ZERO, most)
        return _Range(bounds, bounds), problem or "", False
    target = _target(equity, member)
    doubted = state.doubted.total_equity if state.doubted is not None else None
    if before is not None and _is_in_doubt(before, doubted, equity, policy):
        jump = _jump("equity", before, equity)
        return _Range(_exactly(target), _between(_target(before, member), target)), jump, True
    return _Range(_exactly(target), _exactly(target)), "", False


def _target(equity: Decimal, member: Member) -> Decimal:
    return multiply(max(ZERO, subtract(equity, member.owed)), member.policy.ratio)


def _assess_own(member: Member) -> tuple[_Range, str, bool]:
    """Return the same of what it has of its own."""
    bounds = [reading.bounds for reading in member.own]
    lows = [each.lower for each in bounds if each.lower is not None]
    highs = [each.upper for each in bounds if each.upper is not None]
    own = Bounds(
        _sum(lows) if len(lows) == len(bounds) else None,
        _sum(highs) if len(highs) == len(bounds) else None,
    )
    if own.lower is None or own.upper is None:
        problems = [f"{reading.account}: {reading.problem}" for reading in member.own if reading.found is None]
        return _Range(own, own), "; ".join(problems), False
    before, doubted = _own(member.state.good), _own(member.state.doubted)
    if before is not None and _is_in_doubt(before, doubted, own.lower, member.policy):
        return _Range(own, _between(before, own.lower)), _jump("own balance", before, own.lower), True
    return _Range(own, own), "", False


def _is_in_doubt(before: Decimal, doubted: Decimal | None, amount: Decimal, policy: ReservePolicy) -> bool:
    """Whether an amount jumped from what was believed, and is not what was read and doubted last."""
    if not moved(before, amount, policy.max_jump):
        return False
    return doubted is None or moved(doubted, amount, policy.max_jump)


def _own(snapshot: ReserveSnapshot | None) -> Decimal | None:
    """Return what a snapshot found in accounts that are not shared; None when it does not tell."""
    if snapshot is None or not snapshot.accounts:
        return None
    amounts = [part.amount for part in snapshot.accounts if part.method is None]
    known = [amount for amount in amounts if amount is not None]
    return _sum(known) if len(known) == len(amounts) else None


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(add, amounts, ZERO)


def _exactly(amount: Decimal) -> Bounds:
    return Bounds(amount, amount)


def _between(a: Decimal, b: Decimal) -> Bounds:
    return Bounds(min(a, b), max(a, b))


def _jump(what: str, before: Decimal, after: Decimal) -> str:
    return f"its {what} went from {describe(before)} to {describe(after)}, and no second reading agrees yet"
