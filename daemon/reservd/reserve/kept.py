"""The part of a mode's state that outlives the process, and how downtime counts."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.state import Instant, TrackerState

_ALLOWANCE = 2
"""A source has at least max_staleness / 2 to answer after a start before its mode becomes unknown."""


class KeptState(NamedTuple):
    """The stored part of `TrackerState`, with times on the wall clock.

    Checks in a row and a jump in doubt are not stored: downtime breaks a row, and the next reading resolves a doubt.
    """

    good_at: datetime
    """The time of the last conclusive check."""
    announced_at: datetime
    """The time of the last event."""
    confirmed: ReserveStatus | None
    known: ReserveStatus | None
    incident_id: str | None
    sequence: int
    good: ReserveSnapshot | None
    believed_balance: Decimal | None
    believed_equity: Decimal | None
    believed_parts: tuple[Decimal, ...]
    warned: bool = False
    incident_at: datetime | None = None
    input_age: float = 0.0
    """The age in seconds of the oldest input of that check."""


def keep(state: TrackerState, now: Instant) -> KeptState:
    """Return the part of a mode's state to store."""
    return KeptState(
        now.wall - timedelta(seconds=now.monotonic - state.good_at),
        now.wall - timedelta(seconds=now.monotonic - state.announced_at),
        state.confirmed,
        state.known,
        state.incident_id,
        state.sequence,
        state.good,
        state.believed_balance,
        state.believed_equity,
        state.believed_parts,
        state.warned,
        state.incident_at,
        state.input_age,
    )


def recall(kept: KeptState, policy: ReservePolicy, now: Instant) -> TrackerState:
    """Return the state of a mode that is watched again.

    Downtime counts in full towards the next reminder: one that became due is sent once, at the first check. It counts
    towards staleness, on top of the age that the inputs had before, up to half of the maximum. So a lasting outage
    becomes unknown sooner than after a fresh start, but never before the sources were read again. If the clock was set
    back while the daemon was down, no time has passed.
    """
    if kept.good is not None and kept.good.share_class != policy.share_class:
        # Its amounts are in another currency.
        kept = kept._replace(good=None, believed_balance=None, believed_equity=None, believed_parts=())
    age = _seconds(now.wall - kept.good_at) + kept.input_age
    stale = min(age, policy.max_staleness.total_seconds() / _ALLOWANCE)
    return TrackerState(
        good_at=now.monotonic - stale,
        confirmed=kept.confirmed,
        known=kept.known,
        incident_id=kept.incident_id,
        sequence=kept.sequence,
        good=kept.good,
        believed_balance=kept.believed_balance,
        believed_equity=kept.believed_equity,
        believed_parts=kept.believed_parts,
        announced_at=now.monotonic - _seconds(now.wall - kept.announced_at),
        warned=kept.warned,
        incident_at=kept.incident_at,
    )


def reconcile(stored: KeptState, newer: KeptState) -> KeptState:
    """Return the state of a mode that was watched from memory alone until its store could be read.

    An open incident in the store is the one that people know: it goes on under its id, or the next check closes it.
    Sequences never decrease.
    """
    if newer.confirmed is None or (newer.incident_id is None and stored.incident_id is not None):
        state = stored
    elif newer.incident_id is not None and stored.incident_id is not None:
        state = newer._replace(incident_id=stored.incident_id, incident_at=stored.incident_at)
    else:
        state = newer
    return state._replace(sequence=max(stored.sequence, newer.sequence))


def _seconds(duration: timedelta) -> float:
    return max(0.0, duration.total_seconds())
