"""What is enough: target, utilization and status, from bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, multiply, ratio, subtract
from reservd.reserve.models import (
    ADEQUATE,
    CRITICAL,
    LOW,
    UNKNOWN,
    AccountPart,
    Bounds,
    Observation,
    ReserveSnapshot,
    ReserveStatus,
    Share,
)
from reservd.reserve.readings import Balance, Equity


@dataclass(frozen=True, slots=True)
class ReservePolicy:
    """What one mode's owner decided is enough, and when to say so.

    Attributes:
        mode: The mode.
        share_class: The currency that reserve, equity and target are counted in.
        ratio: The target as a part of total equity, 0 to 1.
        low_threshold: Below this part of the target the reserve is LOW.
        critical_threshold: Below this part of the target it is CRITICAL.
        recovery_margin: How far above a threshold, as a part of the target, recovery from it needs.
        confirmations: Checks in a row at least this severe before a worsening counts.
        max_jump: A reading that moves by more than this part of the last good one needs a second look.
        max_staleness: What was observed longer ago is not believed; when the oldest input of the last conclusive check
            is older, the status is UNKNOWN.
        repeat_interval: A status that lasts is said again so often.
        max_skew: How far apart equity and each balance may have been observed for a check to count; None: any.
        runway_window: How far back it is measured how fast money leaves the reserve.
        runway_warning: An early warning is given when the reserve is LOW in so long at that rate; None: never.
    """

    mode: str
    share_class: str
    ratio: Decimal
    low_threshold: Decimal = Decimal("1.0")
    critical_threshold: Decimal = Decimal("0.5")
    recovery_margin: Decimal = Decimal("0.02")
    confirmations: int = 1
    max_jump: Decimal = Decimal("0.5")
    max_staleness: timedelta = timedelta(seconds=120)
    repeat_interval: timedelta = timedelta(seconds=300)
    max_skew: timedelta | None = None
    runway_window: timedelta = timedelta(hours=1)
    runway_warning: timedelta | None = None


class Missing(NamedTuple):
    """Something a check wanted and did not get."""

    what: str
    """One line for people."""
    non_negative: bool = False
    """Whether it is an account that can only hold 0 or more."""


def classify(
    balance: Decimal, target: Decimal, policy: ReservePolicy, previous: ReserveStatus | None = None
) -> ReserveStatus:
    """Return the status of a balance.

    Compared by product, not by quotient: a balance exactly on a threshold is above it.
    A target of 0 is always met. A negative balance is CRITICAL against any other.

    Args:
        balance: What can be paid out now.
        target: At least 0.
        policy: The thresholds.
        previous: The last confirmed status; a threshold it lies below must be passed by the
            recovery margin to get back above it. None: no memory.
    """
    if not target:
        return ADEQUATE
    low, critical = policy.low_threshold, policy.critical_threshold
    if previous is LOW or previous is CRITICAL:
        low = add(low, policy.recovery_margin)
    if previous is CRITICAL:
        critical = add(critical, policy.recovery_margin)
    if balance >= multiply(low, target):
        return ADEQUATE
    return LOW if balance >= multiply(critical, target) else CRITICAL


def classify_bounds(
    bounds: Bounds, target: Decimal, policy: ReservePolicy, previous: ReserveStatus | None = None
) -> ReserveStatus:
    """Return the status that holds anywhere between the bounds, UNKNOWN when none does.

    So a partial sum that is already enough is ADEQUATE for certain, and one that is not says nothing.
    """
    if not target:
        return ADEQUATE
    worst = CRITICAL if bounds.lower is None else classify(bounds.lower, target, policy, previous)
    best = ADEQUATE if bounds.upper is None else classify(bounds.upper, target, policy, previous)
    return worst if worst is best else UNKNOWN


def status_of(snapshot: ReserveSnapshot, policy: ReservePolicy, previous: ReserveStatus | None = None) -> ReserveStatus:
    """Return the status a snapshot speaks for, given the last confirmed one; UNKNOWN when it is inconclusive."""
    target = snapshot.target_reserve
    if target is None:
        return UNKNOWN
    if previous is None or previous is ADEQUATE:
        return snapshot.status
    if snapshot.bounds is not None:
        return classify_bounds(snapshot.bounds, target, policy, previous)
    if snapshot.reserve_balance is None:
        return UNKNOWN
    return classify(snapshot.reserve_balance, target, policy, previous)


def is_current(observed_at: datetime, now: datetime, policy: ReservePolicy) -> bool:
    """Whether something observed then may be believed now: neither too old nor from the future."""
    return abs(now - observed_at) <= policy.max_staleness


@dataclass(frozen=True, slots=True)
class BelievedEquity:
    """What one reading of an equity tells all modes of one currency that believe readings of one age and skew.

    Attributes:
        amount: None when it may not be believed.
        problem: Why it may not.
        observed_at: When it was true; None when it could not be read.
        seen: When it was true with the prices in it.
        earliest: What balances were observed before this say nothing beside it; None: any.
        latest: The same of those that were observed after.
    """

    amount: Decimal | None
    problem: str | None
    observed_at: datetime | None = None
    seen: Observation | None = None
    earliest: datetime | None = None
    latest: datetime | None = None


def take_snapshot(
    policy: ReservePolicy,
    equity: BelievedEquity,
    balances: Sequence[Balance],
    missing: Sequence[Missing],
    *,
    now: datetime,
    held: Decimal = ZERO,
    owed: Decimal = ZERO,
    share: Share | None = None,
) -> ReserveSnapshot:
    """Return what one check found.

    Args:
        policy: The mode's policy.
        equity: What the mode's equity tells.
        balances: The mode's accounts that were read and are current, of its currency.
        missing: The accounts that were not, and anything else that could not be read.
        now: The instant of the check, aware UTC.
        held: Promised to accepted withdrawals, out of the balances.
        owed: Accepted withdrawals that the equity still shows: what is as good as paid needs no reserve.
        share: What counts of the balances, where accounts are shared; holds are off it already.
    """
    amount, problem = believed_beside(balances, equity, policy)
    observed_at = equity.observed_at
    total = subtract(ZERO, held) if held else None
    parts: list[Decimal] = []
    seen: list[Observation] = []
    for balance in balances:
        part, at = balance.amount, balance.observed_at
        total = part if total is None else add(total, part)
        if observed_at is None or at < observed_at:
            observed_at = at
        parts.append(part)
        seen.append(tuple.__new__(Observation, (at, balance.block)))
    if total is None:
        total = ZERO
    target = None
    if amount is not None:
        target = multiply(max(ZERO, subtract(amount, owed)) if owed else amount, policy.ratio)
    bounds = None
    if missing or not balances:
        known_at_least = bool(balances) and all(part.non_negative for part in missing)
        bounds = Bounds(total if known_at_least else None, None)
    read = bounds is None
    accounts: tuple[AccountPart, ...] = ()
    if share is not None:
        bounds, accounts, held = share
        read = len(balances) == len(accounts)
        if bounds.lower is not None and bounds.lower == bounds.upper:
            total, bounds = bounds.lower, None
    if target is None:
        status = UNKNOWN
    elif bounds is None:
        status = classify(total, target, policy)
    else:
        status = classify_bounds(bounds, target, policy)
    whole = bounds is None
    # Every check makes one: in half the time of ReserveSnapshot(...).
    return tuple.__new__(
        ReserveSnapshot,
        (
            now,
            policy.mode,
            policy.share_class,
            amount,
            total if whole else None,
            policy.ratio,
            target,
            status,
            ratio(total, target) if whole and target else None,
            observed_at,
            bounds,
            () if whole and problem is None else _lines(balances, missing, problem),
            held,
            tuple(parts) if read else (),
            accounts,
            equity.seen,
            tuple(seen),
        ),
    )


def observe_equity(equity: Equity) -> Observation:
    """Return when an equity was true with all that is in it: one whose price is the same again is the same again."""
    priced_at = equity.priced_at
    at = equity.observed_at if priced_at is None else min(equity.observed_at, priced_at)
    # As with snapshots.
    return tuple.__new__(Observation, (at, None))


def _lines(balances: Sequence[Balance], missing: Sequence[Missing], problem: str | None) -> tuple[str, ...]:
    lines = [part.what for part in missing]
    if not balances and not missing:
        lines.append("no balance was read")
    if problem is not None:
        lines.append(problem)
    return tuple(lines)


def believe_equity(equity: Equity | Missing | None, policy: ReservePolicy, now: datetime) -> BelievedEquity:
    """Return what an equity tells a mode, and all those of its currency that believe readings of the same age.

    Args:
        equity: Missing or None when it could not be read. Incomplete, negative or stale it tells nothing.
        policy: The mode's policy.
        now: The instant of the check, aware UTC.
    """
    if not isinstance(equity, Equity):
        return BelievedEquity(None, equity.what if equity is not None else "equity is unknown")
    at, seen = equity.observed_at, observe_equity(equity)
    problem = _why_not(equity, policy, now)
    if problem is not None:
        return BelievedEquity(None, problem, at, seen)
    skew = policy.max_skew
    if skew is None:
        return BelievedEquity(equity.amount, None, at, seen)
    return BelievedEquity(equity.amount, None, at, seen, earliest=at - skew, latest=at + skew)


def _why_not(equity: Equity, policy: ReservePolicy, now: datetime) -> str | None:
    if equity.currency != policy.share_class:
        return f"equity is in {equity.currency}, not in {policy.share_class}"
    if not equity.complete:
        return "equity is incomplete"
    if equity.amount < ZERO:
        return f"equity is negative ({equity.amount})"
    if not is_current(equity.observed_at, now, policy):
        return f"equity is of {equity.observed_at.isoformat()}, too far from now to be believed"
    return None


def believed_beside(
    balances: Sequence[Balance], equity: BelievedEquity, policy: ReservePolicy
) -> tuple[Decimal | None, str | None]:
    """Return the equity that may be believed beside these balances, or why it may not.

    When equity and a balance were observed too far apart, money that moves between the two readings would be in both,
    or in neither.
    """
    amount, earliest, latest = equity.amount, equity.earliest, equity.latest
    if amount is None or earliest is None or latest is None:
        return amount, equity.problem
    for balance in balances:
        if not earliest <= balance.observed_at <= latest:
            return None, _how_skewed(balances, equity, policy)
    return amount, None


def _how_skewed(balances: Sequence[Balance], equity: BelievedEquity, policy: ReservePolicy) -> str:
    assert equity.observed_at is not None and policy.max_skew is not None  # noqa: S101, PT018  # it was believed
    seconds = max(abs(equity.observed_at - balance.observed_at) for balance in balances).total_seconds()
    limit = policy.max_skew.total_seconds()
    return f"equity and balance are {seconds:.0f} s apart, more than reserve_max_skew ({limit:g})"
