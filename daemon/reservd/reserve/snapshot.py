"""From what was read to what one check found."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO, add, multiply, ratio, subtract
from reservd.reserve.equity import BelievedEquity, believed_beside
from reservd.reserve.models import UNKNOWN, AccountPart, Bounds, Observation, ReserveSnapshot, Share
from reservd.reserve.policy import Missing, ReservePolicy, classify, classify_bounds
from reservd.reserve.readings import Balance


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


def _lines(balances: Sequence[Balance], missing: Sequence[Missing], problem: str | None) -> tuple[str, ...]:
    lines = [part.what for part in missing]
    if not balances and not missing:
        lines.append("no balance was read")
    if problem is not None:
        lines.append(problem)
    return tuple(lines)
