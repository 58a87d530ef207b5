"""The basis for decisions about a mode's reserve."""

from typing import NamedTuple

from reservd.reserve.amounts import add
from reservd.reserve.holds import GroupReading, observed_together
from reservd.reserve.models import Observation, ReserveSnapshot, ReserveStatus


class Standing(NamedTuple):
    """The status, amounts and doubts of a mode that a decision about its reserve rests on."""

    confirmed: ReserveStatus
    snapshot: ReserveSnapshot
    """The snapshot of the last check."""
    reading: GroupReading | None
    """What the accounts held then, as far as they were read; None when nothing was."""
    doubted: bool
    """Whether an amount jumped and no second reading has agreed yet."""
    good: ReserveSnapshot | None
    """The last snapshot that was conclusive and not doubted."""


def told_by(snapshot: ReserveSnapshot) -> GroupReading | None:
    """Return the reading behind a snapshot, with the times and the blocks of its accounts, if it has them."""
    if snapshot.reserve_balance is None or snapshot.observed_at is None:
        return None
    # Payments are compared by block where both have one: a payment may be reported long after its block.
    seen = snapshot.seen or [Observation(snapshot.observed_at)]
    return observed_together(add(snapshot.reserve_balance, snapshot.held), seen)
