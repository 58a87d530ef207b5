"""What of a mode's state outlives the process, and how time spent down counts."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.state import Instant, TrackerState

_ALLOWANCE = 2
"""A source may answer again for at least max_staleness / 2 before its mode is called unknown."""


class KeptState(NamedTuple):
    """What is kept of `TrackerState`, its moments on the wall's clock.

    Checks in a row and a jump in doubt are not kept: a row is broken by the time down, and a doubt
    is answered by the next reading.
    """

    good_at: datetime
    """The last conclusive check."""
    announced_at: datetime
    """The last event."""
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
    """How many seconds old its oldest input was at that check."""


def keep(state: TrackerState, now: Instant) -> KeptState:
    """Return what is to be stored of a mode's memory."""
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
    """Return the memory of a mode that is watched again.

    Time down counts toward the next reminder in full: one that became due is given once, at the
    first check. It counts as staleness, with the age that the inputs had before, up to half of the
    maximum: what lasts is called unknown sooner than if the daemon had just begun, and never before
    its sources were asked again. A clock that was set back while the daemon was down counts as no time.
    """
    if kept.good is not None and kept.good.share_class != policy.share_class:
        # Its amounts are of another currency.
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
    """Return how a mode stands that was watched from memory alone until its store could be read.

    An incident that is open in the store is the one that people know: it goes on under its id, or
    is closed by the next check. Sequences never fall.
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
