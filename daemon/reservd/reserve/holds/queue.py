"""The queue of withdrawals that wait for money to arrive: first come, first served."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds.hold import Hold


class QueuePlace(NamedTuple):
    """The position of one of them in the queue."""

    place: int
    """1 is the first."""
    ahead: Decimal
    """The amount that those before it wait for."""


def line_up(waiting: Iterable[Hold]) -> dict[str, QueuePlace]:
    """Return positions in the queue, by hold id.

    Args:
        waiting: The open holds of one group of accounts, in order of decision. Those that wait for nothing are skipped.
    """
    places: dict[str, QueuePlace] = {}
    ahead = ZERO
    for hold in waiting:
        if hold.outstanding:
            places[hold.id] = QueuePlace(len(places) + 1, ahead)
            ahead = add(ahead, hold.outstanding)
    return places
