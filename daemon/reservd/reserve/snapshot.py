"""Builds a snapshot from the readings of one check."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache, reduce

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
    now: datetime,
    held: Decimal = ZERO,
    owed: Decimal = ZERO,
    share: Share | None = None,
) -> ReserveSnapshot:
    """Return the snapshot of one check.

    Args:
        policy: The mode's policy.
        equity: The mode's equity, as far as it is believed.
        balances: The current balances of the mode's accounts, in its currency.
        missing: The accounts without one, and anything else that could not be read.
        now: The time of the check, aware UTC.
        held: The part of the balances that is held for accepted withdrawals.
        owed: Accepted withdrawals that the equity still includes. They need no reserve: they are as good as paid.
        share: The mode's share of the balances, if accounts are shared. Holds are already taken off.
    """
    amount, problem = believed_beside(balances, equity, policy)
    total, parts, seen, oldest = _add_up(balances)
    if held:
        total = subtract(total, held)
    observed_at = equity.observed_at
    if observed_at is None or (oldest is not None and oldest < observed_at):
        observed_at = oldest
    bounds: Bounds | None = None
    accounts: tuple[AccountPart, ...] = ()
    read = not missing
    if share is not None:
        bounds, accounts, held = share
        read = len(balances) == len(accounts)
        if bounds.lower is not None and bounds.lower == bounds.upper:
            total, bounds = bounds.lower, None
    elif missing or not balances:
        known_at_least = bool(balances) and all(part.non_negative for part in missing)
        bounds = Bounds(total if known_at_least else None, None)
    target = covered = None
    status = UNKNOWN
    if amount is not None:
        target = multiply(max(ZERO, subtract(amount, owed)) if owed else amount, policy.ratio)
        if bounds is not None:
            status = classify_bounds(bounds, target, policy)
        else:
            status = classify(total, target, policy)
            covered = ratio(total, target) if target else None
    # Every check makes one. This takes half the time of ReserveSnapshot(...).
    return tuple.__new__(
        ReserveSnapshot,
        (
            now,
            policy.mode,
            policy.share_class,
            amount,
            total if bounds is None else None,
            policy.ratio,
            target,
            status,
            covered,
            observed_at,
            bounds,
            _lines(balances, missing, problem) if bounds is not None or problem is not None else (),
            held,
            parts if read else (),
            accounts,
            equity.seen,
            seen,
            equity.parts,
        ),
    )


def _add_up(
    balances: Sequence[Balance],
) -> tuple[Decimal, tuple[Decimal, ...], tuple[Observation, ...], datetime | None]:
    """Return the sum of balances, each amount, each observation, and the time of the oldest one."""
    if len(balances) == 1:
        # Most modes have one balance.
        (only,) = balances
        return only.amount, (only.amount,), _observed(only.observed_at, only.block), only.observed_at
    parts = tuple([each.amount for each in balances])
    seen = tuple([Observation(each.observed_at, each.block) for each in balances])
    total = reduce(add, parts) if parts else ZERO
    return total, parts, seen, min([each.observed_at for each in balances], default=None)


@lru_cache(maxsize=64)
def _observed(at: datetime, block: int | None) -> tuple[Observation, ...]:
    """Return the observation of a mode's only balance, cached as most balances of a source share theirs."""
    return (Observation(at, block),)


def _lines(balances: Sequence[Balance], missing: Sequence[Missing], problem: str | None) -> tuple[str, ...]:
    lines = [part.what for part in missing]
    if not balances and not missing:
        lines.append("no balance was read")
    if problem is not None:
        lines.append(problem)
    return tuple(lines)
