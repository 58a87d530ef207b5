"""The basis for decisions about a mode's reserve."""

from typing import NamedTuple

from reservd.reserve.amounts import add
from reservd.reserve.holds import GroupReading
from reservd.reserve.models import ReserveSnapshot, ReserveStatus


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
    """Return the reading behind a snapshot, with the time and the block of its oldest account, if it has them."""
    if snapshot.reserve_balance is None or snapshot.observed_at is None:
        return None
    # Payments are compared by block where both have one: a payment may be reported long after its block.
    observed_at = min([each.observed_at for each in snapshot.seen], default=snapshot.observed_at)
    block = min([each.block for each in snapshot.seen if each.block is not None], default=None)
    return GroupReading(add(snapshot.reserve_balance, snapshot.held), observed_at, block)
