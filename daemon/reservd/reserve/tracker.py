"""Snapshots in, events out: what is confirmed, what is said, and when it is said again.

The tracker has no memory of its own: it takes its state in and gives its state out, so that
whoever calls it decides where the state is kept.
"""

from collections.abc import Callable

from reservd.reserve.jumps import PATIENCE, agrees, at_least, has_jumped, is_new_to_others, is_second_look
from reservd.reserve.models import (
    ADEQUATE,
    CRITICAL,
    LOW,
    UNKNOWN,
    EventType,
    ReserveEvent,
    ReserveSnapshot,
    ReserveStatus,
)
from reservd.reserve.policy import ReservePolicy, status_of
from reservd.reserve.reasons import why_doubted, why_status, why_unknown
from reservd.reserve.state import Instant, Step, TrackerState

__all__ = ["Instant", "Step", "TrackerState", "advance", "announce", "has_waited"]


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
    if status is UNKNOWN:
        return _inconclusive(_note_jump(state, snapshot, policy, now), snapshot, policy, now, new_id)
    if has_jumped(
        state.believed_balance, state.believed_equity, state.believed_parts, snapshot, policy.max_jump
    ) and not _is_agreed(state, snapshot, policy, now):
        return _doubt(state, snapshot, status, policy, now, new_id)
    state = _believe(state, snapshot, status, now)
    if status is ADEQUATE and state.confirmed is ADEQUATE:
        # The way nearly every check goes, so in half the time of Step(...).
        return tuple.__new__(Step, (state, None, True, False))
    confirmed = _confirm(state, status, policy.confirmations)
    if confirmed is None or confirmed is state.confirmed:
        return _remind(state, snapshot, policy, now, new_id, conclusive=True)
    return _confirmed(state, confirmed, policy, now, new_id)


def _is_agreed(state: TrackerState, snapshot: ReserveSnapshot, policy: ReservePolicy, now: Instant) -> bool:
    """Whether what jumped before is said again, by a newer observation, or for so long that none can be awaited."""
    doubted = state.doubted
    if doubted is None or not agrees(doubted, snapshot, policy.max_jump):
        return False
    return has_waited(state, policy, now) or is_second_look(
        doubted, snapshot, state.believed_equity, state.believed_parts, policy.max_jump
    )


def has_waited(state: TrackerState, policy: ReservePolicy, now: Instant) -> bool:
    """Whether something is doubted for so long that no newer observation of it can be awaited."""
    patience = min(PATIENCE, policy.max_staleness).total_seconds()
    return state.doubted is not None and now.monotonic - state.doubted_at >= patience


def _note_jump(state: TrackerState, snapshot: ReserveSnapshot, policy: ReservePolicy, now: Instant) -> TrackerState:
    """Remember what jumped of a mode that shares accounts, though nothing is certain of it.

    Where two of them jump at once each waits for the other's second reading: neither would ever be certain.
    """
    if snapshot.accounts and is_new_to_others(
        snapshot, state.believed_equity, state.good, state.doubted, policy.max_jump
    ):
        return state._replace(doubted=snapshot, doubted_at=now.monotonic)
    return state


def _inconclusive(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    doubted: bool = False,
) -> Step:
    """Keep what was confirmed until it is too old."""
    if state.confirmed is UNKNOWN or state.age_at(now.monotonic) <= policy.max_staleness.total_seconds():
        return _remind(state, snapshot, policy, now, new_id, conclusive=False, doubted=doubted)
    reason = _why_unknown(state, snapshot, now, doubted=doubted)
    state, event = announce(state, UNKNOWN, reason, policy, now, new_id)
    return Step(state._replace(confirmed=UNKNOWN), event, conclusive=False, recheck=False)


def _doubt(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    status: ReserveStatus,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
) -> Step:
    """Remember a jump until a second reading agrees.

    One that would change nothing is good enough to say that all is as it was; it is not counted
    as a check in a row, and its amounts are not believed.
    """
    # What agrees and is no newer observation waits with the first: at once, it would be told the same again.
    is_new = not agrees(state.doubted, snapshot, policy.max_jump)
    if is_new:
        state = state._replace(doubted=snapshot, doubted_at=now.monotonic)
    if status is not state.confirmed:
        return _inconclusive(state, snapshot, policy, now, new_id, doubted=True)._replace(recheck=is_new)
    state = state._replace(good_at=now.monotonic, told=snapshot)
    step = _remind(state, snapshot, policy, now, new_id, conclusive=True)
    # A refill waits for the amounts of a reserve that is not adequate, and so does a count of worse checks in a row;
    # nothing waits for those of one that is well.
    return step._replace(recheck=is_new and (status is not ADEQUATE or state.low_streak > 0))


def _believe(state: TrackerState, snapshot: ReserveSnapshot, status: ReserveStatus, now: Instant) -> TrackerState:
    """Take the readings of a conclusive snapshot into the state."""
    balance = snapshot.reserve_balance
    if balance is None:
        balance = state.believed_balance if state.believed_balance is not None else at_least(snapshot)
    # Every check makes one: in half the time of TrackerState(...).
    return tuple.__new__(
        TrackerState,
        (
            now.monotonic,
            state.confirmed,
            state.known,
            state.incident_id,
            state.sequence,
            state.low_streak + 1 if status is not ADEQUATE else 0,
            state.critical_streak + 1 if status is CRITICAL else 0,
            snapshot,
            balance,
            snapshot.total_equity,
            snapshot.parts or state.believed_parts,
            None,
            state.announced_at,
            state.warned,
            state.incident_at,
            0.0,
            snapshot,
        ),
    )


def _confirm(state: TrackerState, status: ReserveStatus, needed: int) -> ReserveStatus | None:
    """Return the status to confirm: one that is no worse at once, a worse one after enough checks in a row."""
    known = state.known
    if status is ADEQUATE or status is known or known is CRITICAL:
        return status
    if state.critical_streak >= needed:
        return CRITICAL
    if state.low_streak >= needed or known is LOW:
        return LOW
    return state.confirmed


def _confirmed(
    state: TrackerState, status: ReserveStatus, policy: ReservePolicy, now: Instant, new_id: Callable[[], str]
) -> Step:
    """Take a newly confirmed status into the state and say so."""
    recovered = status is ADEQUATE
    if not recovered and state.incident_id is None:
        state = state._replace(incident_id=new_id(), incident_at=now.wall)
    event = None
    if state.confirmed is not None or not recovered:
        reason = why_status(state.good, status, policy)
        state, event = announce(state, status, reason, policy, now, new_id)
    state = state._replace(confirmed=status, known=status)
    if recovered:
        state = state._replace(incident_id=None, incident_at=None)
    return Step(state, event, conclusive=True, recheck=False)


def _remind(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    conclusive: bool,
    doubted: bool = False,
) -> Step:
    """Say again what lasts, when it is due."""
    event = None
    status = state.confirmed
    if (
        status is not None
        and status is not ADEQUATE
        and now.monotonic - state.announced_at >= policy.repeat_interval.total_seconds()
    ):
        if status is UNKNOWN:
            reason = _why_unknown(state, snapshot, now, doubted=doubted)
        else:
            reason = why_status(state.good, status, policy)
            if state.good is not None and state.good is not snapshot:
                reason = f"{reason}; as of {state.good.timestamp:%Y-%m-%dT%H:%M:%SZ}, nothing newer is certain"
        state, event = announce(state, status, reason, policy, now, new_id, reminder=True)
    return Step(state, event, conclusive=conclusive, recheck=False)


def _why_unknown(state: TrackerState, snapshot: ReserveSnapshot, now: Instant, *, doubted: bool) -> str:
    if state.good is snapshot:
        return "a reading tells of a worse status than before, and not yet often enough in a row"
    seconds = state.age_at(now.monotonic)
    if doubted:
        return why_doubted(seconds, state.believed_balance, state.believed_equity, snapshot)
    return why_unknown(seconds, snapshot)


def announce(
    state: TrackerState,
    status: ReserveStatus,
    reason: str,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    reminder: bool = False,
    event_type: EventType | None = None,
) -> tuple[TrackerState, ReserveEvent]:
    """Return the event that says `status`, unless another type is given, with the numbers of the last good snapshot."""
    good = state.good
    event = ReserveEvent(
        event_type=event_type or EventType.of(status),
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
