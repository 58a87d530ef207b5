"""A mode's policy: how much is enough, and which status a balance has."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import add, multiply
from reservd.reserve.models import (
    ADEQUATE,
    CRITICAL,
    LOW,
    UNKNOWN,
    Bounds,
    ReserveSnapshot,
    ReserveStatus,
)


@dataclass(frozen=True, slots=True)
class ReservePolicy:
    """How much is enough for one mode, and when to raise events.

    Attributes:
        mode: The mode.
        share_class: The currency of reserve, equity and target.
        ratio: The target as a part of total equity, 0 to 1.
        low_threshold: Below this part of the target the reserve is LOW.
        critical_threshold: Below this part of the target it is CRITICAL.
        recovery_margin: How far above a threshold, as a part of the target, the reserve must be to recover from it.
        confirmations: The number of checks in a row, at least this severe, that confirm a worse status.
        max_jump: A reading that moves by more than this part of the last good one needs a second reading.
        max_staleness: The age above which observations are not believed. When the oldest input of the last conclusive
            check is older, the status is UNKNOWN.
        repeat_interval: The time between reminders while a status lasts.
        max_skew: The largest time between the observations of equity and of each balance; None: any.
        runway_window: The window over which outflow is measured.
        runway_warning: An early warning is given when the reserve would be LOW within this time; None: never.
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
    """Something that a check needed and could not read."""

    what: str
    """One line for people."""
    non_negative: bool = False
    """Whether it is an account that can only hold 0 or more."""


def classify(
    balance: Decimal, target: Decimal, policy: ReservePolicy, previous: ReserveStatus | None = None
) -> ReserveStatus:
    """Return the status of a balance.

    Compares products, not quotients: a balance exactly on a threshold is above it. A target of 0 is always met. A
    negative balance is CRITICAL against any other.

    Args:
        balance: The amount payable now.
        target: At least 0.
        policy: The thresholds.
        previous: The last confirmed status. To recover from a threshold below which it lies, the balance must be above
            that by the recovery margin. None: no earlier status.
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
    """Return the status that holds everywhere between the bounds; UNKNOWN when there is none.

    So a partial sum that is already enough is certainly ADEQUATE, and one that is not says nothing.
    """
    if not target:
        return ADEQUATE
    worst = CRITICAL if bounds.lower is None else classify(bounds.lower, target, policy, previous)
    best = ADEQUATE if bounds.upper is None else classify(bounds.upper, target, policy, previous)
    return worst if worst is best else UNKNOWN


def status_of(snapshot: ReserveSnapshot, policy: ReservePolicy, previous: ReserveStatus | None = None) -> ReserveStatus:
    """Return the status of a snapshot, given the last confirmed one; UNKNOWN when it is inconclusive."""
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
    """Return whether an observation may be believed now: neither too old nor from the future."""
    return abs(now - observed_at) <= policy.max_staleness


def why_not_current(dated: str, observed_at: datetime, max_staleness: timedelta) -> str:
    """Return why an observation is not believed, from words such as `USDT is dated`."""
    limit = max_staleness.total_seconds()
    when = observed_at.isoformat()
    return f"{dated} {when}, too far from the present to be trusted: reserve_max_staleness is {limit:g} s"
