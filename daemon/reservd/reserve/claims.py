"""Assesses what a mode needs of the accounts that it shares, and which bounds the other sharers must assume."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

from reservd.reserve.allocation import AllocationTerms, Claim, Sharer
from reservd.reserve.amounts import ZERO, add, describe, multiply, subtract
from reservd.reserve.equity import believe_equity, believed_beside
from reservd.reserve.jumps import Worth, find_moved, follow, found_own, found_shared, moved, worth_of
from reservd.reserve.models import Bounds, Observation
from reservd.reserve.policy import Missing, ReservePolicy, is_current, why_not_current
from reservd.reserve.readings import Balance, Equity
from reservd.reserve.tracker import TrackerState

_GROWTH = Decimal("1.25")
"""By how much the target of a mode may have grown since it was last known."""


class AccountReading(NamedTuple):
    """The reading of one asset of one account.

    Attributes:
        account: Its name for people: `source/account`.
        asset: The asset.
        found: The balance; None when it could not be read.
        problem: Why it could not be read; empty when it could.
        non_negative: Whether it can only hold 0 or more.
    """

    account: str
    asset: str
    found: Balance | None
    problem: str = ""
    non_negative: bool = False

    def at(self, now: datetime, policy: ReservePolicy) -> "AccountReading":
        """Return the reading as a mode may believe it now."""
        if self.found is None or is_current(self.found.observed_at, now, policy):
            return self
        problem = why_not_current(f"{self.asset} is dated", self.found.observed_at, policy.max_staleness)
        return self._replace(found=None, problem=problem)

    @property
    def bounds(self) -> Bounds:
        """Bounds on the amount."""
        if self.found is not None:
            return Bounds(self.found.amount, self.found.amount)
        return Bounds(ZERO if self.non_negative else None, None)


class Member(NamedTuple):
    """One mode that shares accounts, and its readings in a check.

    Attributes:
        policy: Its policy.
        terms: Its terms for shared accounts.
        state: Its state.
        equity: The reading of its equity.
        own: The readings of accounts that it does not share.
        owed: Accepted withdrawals that the equity still includes.
        promised: What is promised to its own accepted withdrawals, of all the accounts that it is paid from.
        waited: Whether a jump has been repeated for so long that no newer observation of it can be expected.
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
        """Return the member with its own accounts as far as they may be believed now."""
        return self._replace(own=tuple([reading.at(now, self.policy) for reading in self.own]))


class Jump(IntEnum):
    """Whether a reading jumped."""

    NONE = 0
    """No jump, or a second reading agreed."""
    AWAITED = 1
    """A jump was repeated by an observation that is no newer; the next check may have a newer one."""
    NEW = 2
    """A new jump; a second look may confirm it at once."""


class Assessment(NamedTuple):
    """What a member brings to the split.

    Attributes:
        sharer: Its needs.
        doubt: Why its needs are uncertain to the others; empty when they are certain.
        jump: Whether that is due to a jump without a second reading that agrees.
    """

    sharer: Sharer
    doubt: str
    jump: Jump

    def less(self, held: Bounds) -> "Assessment":
        """Return the same with holds taken off the member's own accounts."""
        if not held.upper:
            return self
        seen, reckoned = (claim._replace(own=_less(claim.own, held)) for claim in self.sharer[:2])
        return self._replace(sharer=self.sharer._replace(seen=seen, reckoned=reckoned))


def assess(member: Member, balances: Sequence[Balance], now: datetime) -> Assessment:
    """Return what a member needs of shared accounts.

    An unknown target lies between 0 and 1.25 of the last good one; without one, it is unbounded. After a jump of its
    equity or its own balance, the others assume the old and the new value as bounds until a second reading agrees. The
    mode itself uses the new value, which its tracker doubts.

    Args:
        member: The mode, and those of its readings that may be believed.
        balances: All its believed balances, shared ones included.
        now: The time of the check, aware UTC.
    """
    target, doubt, target_jumped = _assess_target(member, balances, now)
    own, own_doubt, own_jumped = _assess_own(member)
    sharer = Sharer(Claim(target.seen, own.seen), Claim(target.reckoned, own.reckoned), member.terms)
    return Assessment(sharer, "; ".join(filter(None, (doubt, own_doubt))), max(target_jumped, own_jumped))


class _Range(NamedTuple):
    seen: Bounds
    reckoned: Bounds


def _assess_target(member: Member, balances: Sequence[Balance], now: datetime) -> tuple[_Range, str, Jump]:
    """Return bounds on the target, why they are not exact, and whether that is due to a jump."""
    policy, state = member.policy, member.state
    believed = believe_equity(member.equity, policy, now)
    equity, problem = believed_beside(balances, believed, policy)
    before = state.believed_equity
    if equity is None:
        most = multiply(_target(before, member), _GROWTH) if before is not None else None
        bounds = Bounds(ZERO, most)
        return _Range(bounds, bounds), problem or "", Jump.NONE
    target = _target(equity, member)
    jump = _jump_of_equity(member, Worth(equity, believed.parts, believed.seen))
    if before is None or not jump:
        return _Range(_exactly(target), _exactly(target)), "", Jump.NONE
    return _Range(_exactly(target), _between(_target(before, member), target)), _moved("equity", before, equity), jump


def _jump_of_equity(member: Member, now: Worth) -> Jump:
    state, max_jump = member.state, member.policy.max_jump
    believed, first = Worth(state.believed_equity, state.believed_equity_parts), worth_of(state.doubted)
    if not believed.moved_to(now, max_jump):
        return Jump.NONE
    if first.amount is None or first._replace(parts=None).moved_to(now, max_jump):
        return Jump.NEW
    if member.waited:
        return Jump.NONE
    if first.moved_to(now, max_jump):
        return Jump.NEW
    return Jump.NONE if now.follows(first, believed, max_jump) else Jump.AWAITED


def _target(equity: Decimal, member: Member) -> Decimal:
    return multiply(max(ZERO, subtract(equity, member.owed)), member.policy.ratio)


def _assess_own(member: Member) -> tuple[_Range, str, Jump]:
    """Return the same for the member's own accounts."""
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
    """Return the believed sum of a mode's own accounts, and whether the new one is a jump from it."""
    max_jump = member.policy.max_jump
    good, doubted = found_own(member.state.good), found_own(member.state.doubted)
    found = [reading.found for reading in member.own if reading.found is not None]
    amounts = [each.amount for each in found]
    if good is None or not good.moved_to(amounts, max_jump):
        return amount, Jump.NONE
    before = good.total
    if doubted is None or moved(doubted.total, amount, max_jump):
        return before, Jump.NEW
    if member.waited:
        return before, Jump.NONE
    if doubted.moved_to(amounts, max_jump):
        return before, Jump.NEW
    places = find_moved(good.amounts, amounts, max_jump)
    is_newer = follow(doubted.seen, [Observation(each.observed_at, each.block) for each in found], places)
    return before, Jump.NONE if is_newer else Jump.AWAITED


class Step(NamedTuple):
    """How far the balance of a shared account moved.

    Attributes:
        before: The last believed balance.
        jump: Whether it jumped.
    """

    before: Decimal
    jump: Jump


def assess_shared(reading: AccountReading, sharers: Iterable[Member]) -> Step | None:
    """Return how far a shared account moved from what its sharers believe; None if none of them believes anything.

    A second reading that one of them believes is enough: another may have been unknown for long.
    """
    steps = [step for step in (_step(reading, member) for member in sharers) if step is not None]
    return min(steps, key=lambda step: step.jump, default=None)


def _step(reading: AccountReading, member: Member) -> Step | None:
    found, state, max_jump = reading.found, member.state, member.policy.max_jump
    good, doubted = found_shared(state.good, reading.account, reading.asset), state.doubted
    if found is None or good is None or good.amount is None:
        return None
    if not moved(good.amount, found.amount, max_jump):
        return Step(good.amount, Jump.NONE)
    first = found_shared(doubted, reading.account, reading.asset)
    if first is None or first.amount is None or moved(first.amount, found.amount, max_jump):
        return Step(good.amount, Jump.NEW)
    is_newer = first.observed_at is None or Observation(found.observed_at, found.block).follows(
        Observation(first.observed_at, first.block)
    )
    return Step(good.amount, Jump.NONE if is_newer or member.waited else Jump.AWAITED)


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
    return f"its {what} {why_moved(before, after)}"


def why_moved(before: Decimal, after: Decimal) -> str:
    """Return why an amount that jumped is uncertain."""
    return f"went from {describe(before)} to {describe(after)}, and no second reading agrees yet"
