"""Builds the one-line reason in an event, for whoever is woken by it."""

from collections.abc import Sequence
from decimal import Decimal

from reservd.reserve.amounts import add, describe, multiply, ratio, subtract
from reservd.reserve.jumps import at_least
from reservd.reserve.models import ADEQUATE, CRITICAL, UNKNOWN, Bounds, ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import ReservePolicy

_MAX_MISSING = 3


def why_status(good: ReserveSnapshot | None, status: ReserveStatus, policy: ReservePolicy) -> str:
    """Return the reason for a status other than UNKNOWN.

    Args:
        good: The snapshot behind it; None when it is no longer known.
        status: LOW, CRITICAL or ADEQUATE.
        policy: The thresholds.
    """
    if good is None or good.target_reserve is None:
        return f"the reserve is {status}"
    if not good.target_reserve:
        return (
            "the target is 0, because the equity is 0"
            if good.reserve_ratio
            else "the target is 0, because the reserve ratio is 0"
        )
    target = f"{describe(good.target_reserve, round_up=True)} {good.share_class}"
    if good.reserve_balance is None:
        known = _range(good.bounds)
        known = f"{known} of {target}" if known else "the status does not depend on what is missing"
        return f"{known}; not read: {_some(good.missing)}"
    part = describe(ratio(good.reserve_balance, good.target_reserve), 4)
    reserve = f"{describe(good.reserve_balance)} of {target} is {part} of the target"
    if status is ADEQUATE:
        return reserve
    threshold = policy.critical_threshold if status is CRITICAL else policy.low_threshold
    if good.reserve_balance >= multiply(threshold, good.target_reserve):
        return f"{reserve}, not yet the {add(threshold, policy.recovery_margin)} that ends {status}"
    lacks = subtract(good.target_reserve, good.reserve_balance)
    short = f"; {describe(lacks, round_up=True)} {good.share_class} short" if lacks > 0 else ""
    return f"{reserve}, below {threshold} ({status}){short}"


def why_found(snapshot: ReserveSnapshot, policy: ReservePolicy) -> str:
    """Return the reason for the status of one check, without earlier ones; also for UNKNOWN."""
    if snapshot.status is not UNKNOWN:
        return why_status(snapshot, snapshot.status, policy)
    known = _range(snapshot.bounds)
    if snapshot.target_reserve is None or not known:
        return f"not certain: {_some(snapshot.missing)}"
    target = f"{describe(snapshot.target_reserve, round_up=True)} {snapshot.share_class}"
    return f"{known} of {target}, so more than one status is possible; not certain: {_some(snapshot.missing)}"


def why_unknown(seconds: float | None, snapshot: ReserveSnapshot) -> str:
    """Return why nothing has been certain for so many seconds, when a snapshot is inconclusive.

    Args:
        seconds: For how long; None: since this daemon began to watch.
        snapshot: The snapshot.
    """
    return f"no conclusive check {_since(seconds)}: {_some(snapshot.missing) or 'more than one status is possible'}"


def why_doubted(
    seconds: float | None, balance: Decimal | None, equity: Decimal | None, snapshot: ReserveSnapshot
) -> str:
    """Return why nothing is certain when readings jump and no second one agrees.

    Args:
        seconds: For how long; None: since this daemon began to watch.
        balance: The last believed balance.
        equity: The last believed equity.
        snapshot: The snapshot that jumped.
    """
    return (
        f"no conclusive check {_since(seconds)}: {tell_jump(balance, equity, snapshot)}, and no second reading agrees"
    )


def tell_jump(balance: Decimal | None, equity: Decimal | None, snapshot: ReserveSnapshot) -> str:
    """Return what jumped.

    Args:
        balance: The last believed balance.
        equity: The last believed equity.
        snapshot: The snapshot that jumped.
    """
    moves = [
        f"{name} went from {describe(before)} to {describe(after)} {snapshot.share_class}"
        for name, before, after in (
            ("balance", balance, at_least(snapshot)),
            ("equity", equity, snapshot.total_equity),
        )
        if before is not None and after is not None and before != after
    ]
    return ", ".join(moves) or "an account, or a part of the equity, is no longer what it was"


def _since(seconds: float | None) -> str:
    return f"for {seconds:.0f} s" if seconds is not None else "since this daemon began to watch"


def _range(bounds: Bounds | None) -> str:
    """Return the bounds of an amount as text; empty when both are unknown."""
    lower, upper = bounds or (None, None)
    if upper is None:
        return f"at least {describe(lower)}" if lower is not None else ""
    most = describe(upper, round_up=True)
    return f"between {describe(lower)} and {most}" if lower is not None else f"at most {most}"


def _some(lines: Sequence[str]) -> str:
    """Return the first few of many lines as one."""
    more = len(lines) - _MAX_MISSING
    return "; ".join(lines[:_MAX_MISSING]) + (f"; and {more} more" if more > 0 else "")
