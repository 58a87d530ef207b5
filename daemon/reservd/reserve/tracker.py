"""Snapshots in, events out: what is confirmed, what is said, and when it is said again.

The tracker has no memory of its own: it takes its state in and gives its state out, so that
whoever calls it decides where the state is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NamedTuple

from reservd.reserve.amounts import EXACT
from reservd.reserve.models import EventType, ReserveEvent, ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import ReservePolicy, status_of


class Instant(NamedTuple):
    """One moment on two clocks: the wall's, to be told to people, and the monotonic one, to measure by."""

    wall: datetime
    """Aware UTC."""
    monotonic: float
    """Seconds; only differences mean anything."""


class TrackerState(NamedTuple):
    """All that is remembered of one mode between two checks."""

    good_at: float
    """Monotonic seconds of the last conclusive check; before the first, when watching began."""
    confirmed: ReserveStatus | None = None
    """None before anything was confirmed."""
    known: ReserveStatus | None = None
    """The last confirmed status other than UNKNOWN."""
    incident_id: str | None = None
    sequence: int = 0
    low_streak: int = 0
    """Conclusive checks in a row that were at least LOW."""
    critical_streak: int = 0
    """Conclusive checks in a row that were CRITICAL."""
    good: ReserveSnapshot | None = None
    """The last conclusive snapshot."""
    believed_balance: Decimal | None = None
    """The last complete balance that was not a jump, or was seen twice."""
    believed_equity: Decimal | None = None
    """The same of the equity."""
    doubted: ReserveSnapshot | None = None
    """A snapshot that jumped and waits for a second one to agree."""
    announced_at: float = 0.0
    """Monotonic seconds of the last event."""

    @property
    def incident_severity(self) -> ReserveStatus | None:
        """LOW or CRITICAL while an incident is open, through UNKNOWN too."""
        return self.known if self.incident_id is not None else None


@dataclass(frozen=True, slots=True)
class Step:
    """What one snapshot led to.

    Attributes:
        state: To be handed in with the next snapshot.
        event: What is to be said, if anything.
        conclusive: Whether the snapshot spoke for a status that may be believed.
        recheck: Whether a second reading is wanted at once, because this one jumped.
    """

    state: TrackerState
    event: ReserveEvent | None
    conclusive: bool
    recheck: bool


def advance(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
) -> Step:
    """Return what a snapshot changes, and the event that says so.

    Args:
        state: What was remembered.
        snapshot: What the check found.
        policy: The mode's policy.
        now: The moment of the check.
        new_id: Makes an id that nobody else makes, for events and incidents.
    """
    status = status_of(snapshot, policy, state.known)
    if status is ReserveStatus.UNKNOWN:
        return _inconclusive(state, snapshot, policy, now, new_id, recheck=False)
    jumped = _jumped(state.believed_balance, state.believed_equity, snapshot, policy.max_jump)
    if jumped and not _agrees(state.doubted, snapshot, policy.max_jump):
        if status is not state.confirmed:
            recheck = state._replace(doubted=snapshot)
            return _inconclusive(recheck, snapshot, policy, now, new_id, recheck=True)
        doubted, balance, equity = snapshot, state.believed_balance, state.believed_equity
    else:
        doubted = None
        balance = snapshot.reserve_balance if snapshot.reserve_balance is not None else state.believed_balance
        equity = snapshot.total_equity
    severity = status.severity
    state = TrackerState(
        now.monotonic,
        state.confirmed,
        state.known,
        state.incident_id,
        state.sequence,
        state.low_streak + 1 if severity >= ReserveStatus.LOW.severity else 0,
        state.critical_streak + 1 if severity >= ReserveStatus.CRITICAL.severity else 0,
        snapshot,
        balance,
        equity,
        doubted,
        state.announced_at,
    )
    confirmed = _confirm(state, status, policy.confirmations)
    if confirmed is state.confirmed:
        return _remind(state, policy, now, new_id, conclusive=True, recheck=False)
    return _confirmed(state, confirmed, policy, now, new_id)


def _inconclusive(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    recheck: bool,
) -> Step:
    """Keep what was confirmed until it is too old."""
    age = now.monotonic - state.good_at
    if state.confirmed is ReserveStatus.UNKNOWN or age <= policy.max_staleness.total_seconds():
        return _remind(state, policy, now, new_id, conclusive=False, recheck=recheck)
    why = "; ".join(snapshot.missing) or "readings do not agree"
    reason = f"nothing certain for {age:.0f} s: {why}"
    state, event = _announce(state, ReserveStatus.UNKNOWN, reason, policy, now, new_id)
    return Step(state._replace(confirmed=ReserveStatus.UNKNOWN), event, conclusive=False, recheck=recheck)


def _confirm(state: TrackerState, status: ReserveStatus, needed: int) -> ReserveStatus | None:
    """Return the status to confirm: a recovery at once, a worsening after enough checks in a row."""
    before = state.known.severity if state.known is not None else -1
    if status.severity <= max(before, 0):
        return status
    if state.critical_streak >= needed:
        return ReserveStatus.CRITICAL
    if state.low_streak >= needed or before >= ReserveStatus.LOW.severity:
        return ReserveStatus.LOW
    return state.confirmed


def _confirmed(
    state: TrackerState,
    status: ReserveStatus | None,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
) -> Step:
    """Take a newly confirmed status into the state and say so."""
    assert status is not None  # noqa: S101  # only an unchanged status can be None
    first = state.confirmed is None
    recovered = status is ReserveStatus.ADEQUATE
    if not recovered and state.incident_id is None:
        state = state._replace(incident_id=new_id())
    event = None
    if not (first and recovered):
        state, event = _announce(state, status, _explain(state.good, status, policy), policy, now, new_id)
    incident = None if recovered else state.incident_id
    state = state._replace(confirmed=status, known=status, incident_id=incident)
    return Step(state, event, conclusive=True, recheck=False)


def _remind(
    state: TrackerState,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    conclusive: bool,
    recheck: bool,
) -> Step:
    """Say again what lasts, when it is due."""
    event = None
    status = state.confirmed
    if (
        status is not None
        and status is not ReserveStatus.ADEQUATE
        and now.monotonic - state.announced_at >= policy.repeat_interval.total_seconds()
    ):
        reason = "still nothing certain" if status is ReserveStatus.UNKNOWN else _explain(state.good, status, policy)
        state, event = _announce(state, status, reason, policy, now, new_id, reminder=True)
    return Step(state, event, conclusive=conclusive, recheck=recheck)


def _announce(
    state: TrackerState,
    status: ReserveStatus,
    reason: str,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    reminder: bool = False,
) -> tuple[TrackerState, ReserveEvent]:
    """Return the event that says `status`, with the numbers of the last conclusive check."""
    good = state.good
    event = ReserveEvent(
        event_type=EventType.of(status),
        strategy_mode=policy.mode,
        timestamp=now.wall,
        reserve_balance=good.reserve_balance if good else None,
        target_reserve=good.target_reserve if good else None,
        utilization=good.reserve_utilization if good else None,
        id=new_id(),
        sequence=state.sequence + 1,
        incident_id=state.incident_id,
        status=status,
        previous_status=state.confirmed,
        currency=policy.share_class,
        total_equity=good.total_equity if good else None,
        shortfall=good.shortfall if good else None,
        observed_at=good.observed_at if good else None,
        reason=reason,
        reminder=reminder,
    )
    return state._replace(sequence=state.sequence + 1, announced_at=now.monotonic), event


def _explain(snapshot: ReserveSnapshot | None, status: ReserveStatus, policy: ReservePolicy) -> str:
    """Return one line that says why the status is what it is."""
    if snapshot is None or snapshot.target_reserve is None:
        return ""
    if snapshot.reserve_utilization is None:
        part = "the target is 0" if not snapshot.target_reserve else "the part that was read is enough"
    else:
        part = f"the reserve is {snapshot.reserve_utilization:.4f} of its target"
    match status:
        case ReserveStatus.LOW:
            return f"{part}, below {policy.low_threshold}"
        case ReserveStatus.CRITICAL:
            return f"{part}, below {policy.critical_threshold}"
        case _:
            return part


def _agrees(doubted: ReserveSnapshot | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Whether a snapshot says what the doubted one said."""
    if doubted is None:
        return False
    return not _jumped(_at_least(doubted), doubted.total_equity, snapshot, max_jump)


def _jumped(balance: Decimal | None, equity: Decimal | None, snapshot: ReserveSnapshot, max_jump: Decimal) -> bool:
    """Whether balance or equity moved by more than may be believed at first sight."""
    if equity is not None and snapshot.total_equity is not None and _moved(equity, snapshot.total_equity, max_jump):
        return True
    amount = _at_least(snapshot)
    if balance is None or amount is None:
        return False
    # A part of the balance is naturally less than the whole; only more than the whole is a jump.
    return (snapshot.bounds is None or amount > balance) and _moved(balance, amount, max_jump)


def _at_least(snapshot: ReserveSnapshot) -> Decimal | None:
    return snapshot.reserve_balance if snapshot.bounds is None else snapshot.bounds.lower


def _moved(before: Decimal, after: Decimal, max_jump: Decimal) -> bool:
    with localcontext(EXACT):
        return abs(after - before) > max_jump * abs(before)
