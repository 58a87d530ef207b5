"""What a mode needs of the accounts that it shares, and what the other sharers must reckon with."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

from reservd.reserve.allocation import AllocationTerms, Claim, Sharer
from reservd.reserve.amounts import ZERO, add, describe, multiply, subtract
from reservd.reserve.equity import believe_equity, believed_beside, observe_equity
from reservd.reserve.jumps import find_moved, follow, found_own, moved
from reservd.reserve.models import Bounds, Observation
from reservd.reserve.policy import Missing, ReservePolicy, is_current
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
        promised: To its own accepted withdrawals, of all the accounts that it is paid from.
        waited: Whether what jumped was told again for so long that no newer observation of it can be awaited.
    """

    policy: ReservePolicy
    terms: AllocationTerms
    state: TrackerState
    equity: Equity | Missing | None
    own: tuple[AccountReading, ...]
    owed: Decimal = ZERO
    promised: Decimal = ZERO
    waited: bool = False

    def believed(self, now: datetime) -> "Member":
        """Return the member with what it may believe now of its own accounts."""
        return self._replace(own=tuple([reading.at(now, self.policy) for reading in self.own]))


class Jump(IntEnum):
    """Whether a reading jumped."""

    NONE = 0
    """It did not, or a second one agreed."""
    AWAITED = 1
    """What jumped before is told again, by no newer observation: the next check may have one."""
    NEW = 2
    """It did: a second look may tell at once."""


class Assessment(NamedTuple):
    """What a member brings to the split.

    Attributes:
        sharer: What it needs.
        doubt: Why others cannot tell what it needs; empty when they can.
        jump: Whether it is because a reading jumped, and no second one agreed yet.
    """

    sharer: Sharer
    doubt: str
    jump: Jump

    def less(self, held: Bounds) -> "Assessment":
        """Return the same of a member when so much of what it has of its own is promised."""
        if not held.upper:
            return self
        seen, reckoned = (claim._replace(own=_less(claim.own, held)) for claim in self.sharer[:2])
        return self._replace(sharer=self.sharer._replace(seen=seen, reckoned=reckoned))


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
    return Assessment(sharer, "; ".join(filter(None, (doubt, own_doubt))), max(target_jumped, own_jumped))


class _Range(NamedTuple):
    seen: Bounds
    reckoned: Bounds


def _assess_target(member: Member, balances: Sequence[Balance], now: datetime) -> tuple[_Range, str, Jump]:
    """Return what is certain of the target, why not more is, and whether that is because it jumped."""
    policy, state = member.policy, member.state
    equity, problem = believed_beside(balances, believe_equity(member.equity, policy, now), policy)
    before = state.believed_equity
    if equity is None:
        most = multiply(_target(before, member), _GROWTH) if before is not None else None
        bounds = Bounds(ZERO, most)
        return _Range(bounds, bounds), problem or "", Jump.NONE
    target = _target(equity, member)
    jump = _jump_of_equity(member, equity)
    if before is None or not jump:
        return _Range(_exactly(target), _exactly(target)), "", Jump.NONE
    return _Range(_exactly(target), _between(_target(before, member), target)), _moved("equity", before, equity), jump


def _jump_of_equity(member: Member, equity: Decimal) -> Jump:
    state, policy = member.state, member.policy
    if state.believed_equity is None or not moved(state.believed_equity, equity, policy.max_jump):
        return Jump.NONE
    doubted = state.doubted
    if doubted is None or doubted.total_equity is None or moved(doubted.total_equity, equity, policy.max_jump):
        return Jump.NEW
    first, found = doubted.equity_seen, member.equity
    is_newer = first is None or (isinstance(found, Equity) and observe_equity(found).follows(first))
    return Jump.NONE if is_newer or member.waited else Jump.AWAITED


def _target(equity: Decimal, member: Member) -> Decimal:
    return multiply(max(ZERO, subtract(equity, member.owed)), member.policy.ratio)


def _assess_own(member: Member) -> tuple[_Range, str, Jump]:
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
        return _Range(own, own), "; ".join(problems), Jump.NONE
    before, jump = _jump_of_own(member, own.lower)
    if not jump:
        return _Range(own, own), "", Jump.NONE
    return _Range(own, _between(before, own.lower)), _moved("own balance", before, own.lower), jump


def _jump_of_own(member: Member, amount: Decimal) -> tuple[Decimal, Jump]:
    """Return what a mode was believed to have of its own, and whether what it has now jumped from that."""
    max_jump = member.policy.max_jump
    good, doubted = found_own(member.state.good), found_own(member.state.doubted)
    before = good.total if good is not None else amount
    if good is None or not moved(before, amount, max_jump):
        return before, Jump.NONE
    if doubted is None or moved(doubted.total, amount, max_jump):
        return before, Jump.NEW
    found = [reading.found for reading in member.own if reading.found is not None]
    places = find_moved(good.amounts, [each.amount for each in found], max_jump)
    is_newer = follow(doubted.seen, [Observation(each.observed_at, each.block) for each in found], places)
    return before, Jump.NONE if is_newer or member.waited else Jump.AWAITED


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(add, amounts, ZERO)


def _less(own: Bounds, held: Bounds) -> Bounds:
    return Bounds(
        None if own.lower is None or held.upper is None else subtract(own.lower, held.upper),
        None if own.upper is None or held.lower is None else subtract(own.upper, held.lower),
    )


def _exactly(amount: Decimal) -> Bounds:
    return Bounds(amount, amount)


def _between(a: Decimal, b: Decimal) -> Bounds:
    return Bounds(min(a, b), max(a, b))


def _moved(what: str, before: Decimal, after: Decimal) -> str:
    return f"its {what} went from {describe(before)} to {describe(after)}, and no second reading agrees yet"
