"""Turns snapshots into events: which status is confirmed, and when to raise an event or repeat it.

The tracker keeps nothing itself: it takes the state and returns the new one, so that the caller decides where to keep
it.
"""

from collections.abc import Callable

from reservd.reserve.jumps import (
    PATIENCE,
    Worth,
    agrees,
    agrees_in_sum,
    at_least,
    has_jumped,
    is_new_to_others,
    is_second_look,
)
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
    """Return the new state after a snapshot, and the event to raise, if any.

    Args:
        state: The state before.
        snapshot: What the check found.
        policy: The mode's policy.
        now: The time of the check.
        new_id: Returns unique ids for events and incidents.
    """
    status = status_of(snapshot, policy, state.known)
    if status is UNKNOWN:
        return _inconclusive(_note_jump(state, snapshot, policy, now), snapshot, policy, now, new_id)
    if has_jumped(
        state.believed_balance,
        state.believed_equity,
        state.believed_parts,
        snapshot,
        policy.max_jump,
        # A plain test: most sources report no parts.
        state.believed_equity_parts if snapshot.equity_parts is not None else None,
    ) and not _is_agreed(state, snapshot, policy, now):
        return _doubt(state, snapshot, status, policy, now, new_id)
    state = _believe(state, snapshot, status, now)
    if status is ADEQUATE and state.confirmed is ADEQUATE:
        # Nearly every check ends here. This takes half the time of Step(...).
        return tuple.__new__(Step, (state, None, True, False))
    confirmed = _confirm(state, status, policy.confirmations)
    if confirmed is None or confirmed is state.confirmed:
        return _remind(state, snapshot, policy, now, new_id, conclusive=True)
    return _confirmed(state, confirmed, policy, now, new_id)


def _is_agreed(state: TrackerState, snapshot: ReserveSnapshot, policy: ReservePolicy, now: Instant) -> bool:
    """Return whether a newer observation confirms a jump, or the jump has lasted so long that none can be expected."""
    doubted = state.doubted
    if doubted is None:
        return False
    waited = has_waited(state, policy, now)
    if waited and agrees_in_sum(doubted, snapshot, policy.max_jump):
        return True
    if not agrees(doubted, snapshot, policy.max_jump):
        return False
    return waited or is_second_look(
        doubted,
        snapshot,
        state.believed_equity,
        state.believed_parts,
        policy.max_jump,
        state.believed_equity_parts,
    )


def has_waited(state: TrackerState, policy: ReservePolicy, now: Instant) -> bool:
    """Return whether a reading has been doubted for so long that no newer observation can be expected."""
    patience = min(PATIENCE, policy.max_staleness).total_seconds()
    return state.doubted is not None and now.monotonic - state.doubted_at >= patience


def _note_jump(state: TrackerState, snapshot: ReserveSnapshot, policy: ReservePolicy, now: Instant) -> TrackerState:
    """Remember a jump of a mode that shares accounts, although the snapshot is inconclusive.

    If two such modes jump at once, each waits for the second reading of the other, and neither would become certain.
    """
    if snapshot.accounts and is_new_to_others(
        snapshot,
        Worth(state.believed_equity, state.believed_equity_parts),
        state.good,
        state.doubted,
        policy.max_jump,
    ):
        return _doubting(state, snapshot, policy, now)
    return state


def _doubting(state: TrackerState, snapshot: ReserveSnapshot, policy: ReservePolicy, now: Instant) -> TrackerState:
    """Doubt a snapshot from the time on at which the first one with its sums was doubted."""
    is_same = agrees_in_sum(state.doubted, snapshot, policy.max_jump)
    return state._replace(doubted=snapshot, doubted_at=state.doubted_at if is_same else now.monotonic)


def _inconclusive(
    state: TrackerState,
    snapshot: ReserveSnapshot,
    policy: ReservePolicy,
    now: Instant,
    new_id: Callable[[], str],
    *,
    doubted: bool = False,
) -> Step:
    """Keep the confirmed status until it is too old."""
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
    """Doubt a jump until a second reading agrees.

    If its status equals the confirmed one, the jump is good enough to confirm that once more. It does not count as a
    check in a row, and its amounts are not believed.
    """
    # A reading that agrees but is no newer waits with the first: a recheck would return the same again.
    is_new = not agrees(state.doubted, snapshot, policy.max_jump)
    if is_new:
        state = _doubting(state, snapshot, policy, now)
        if status is state.confirmed:
            # Nothing waits for its amounts, so that no time has passed when the status differs.
            state = state._replace(doubted_at=now.monotonic)
    if status is not state.confirmed:
        return _inconclusive(state, snapshot, policy, now, new_id, doubted=True)._replace(recheck=is_new)
    state = state._replace(good_at=now.monotonic, told=snapshot)
    step = _remind(state, snapshot, policy, now, new_id, conclusive=True)
    # A refill waits for the amounts of a reserve that is not adequate, and so does a streak of worse checks. Nothing
    # waits for those of an adequate one.
    return step._replace(recheck=is_new and (status is not ADEQUATE or state.low_streak > 0))


def _believe(state: TrackerState, snapshot: ReserveSnapshot, status: ReserveStatus, now: Instant) -> TrackerState:
    """Update the state with the amounts of a conclusive snapshot."""
    balance = snapshot.reserve_balance
    if balance is None:
        balance = state.believed_balance if state.believed_balance is not None else at_least(snapshot)
    # Every check makes one. This takes half the time of TrackerState(...).
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
    """Return the status to confirm: at once if it is no worse, after enough checks in a row if it is."""
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
    """Update the state with a newly confirmed status, and raise the event for it."""
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
    """Raise a reminder of a status that lasts, if one is due."""
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
                reason = f"{reason}; as of {state.good.timestamp:%Y-%m-%dT%H:%M:%SZ}, no newer check was conclusive"
        state, event = announce(state, status, reason, policy, now, new_id, reminder=True)
    return Step(state, event, conclusive=conclusive, recheck=False)


def _why_unknown(state: TrackerState, snapshot: ReserveSnapshot, now: Instant, *, doubted: bool) -> str:
    if state.good is snapshot:
        return "readings show a worse status than before, but not yet in enough checks in a row"
    # Of the time before a restart only a part counts, so that the age is not that of anything.
    restored = state.told is None and state.good is not None
    seconds = None if restored else state.age_at(now.monotonic)
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
    """Return the new state and an event for `status`, with the amounts of the last good snapshot."""
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
