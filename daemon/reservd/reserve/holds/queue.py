"""The queue of withdrawals that wait for money to arrive: first come, first served."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds.hold import Hold


class QueuePlace(NamedTuple):
    """Where one of them stands."""

    place: int
    """1 is the first."""
    ahead: Decimal
    """What those before it wait for."""


def line_up(waiting: Iterable[Hold]) -> dict[str, QueuePlace]:
    """Return the places of those who wait, by the ids of their holds.

    Args:
        waiting: The open holds of one group of accounts, in order of decision; who waits for nothing is passed over.
    """
    places: dict[str, QueuePlace] = {}
    ahead = ZERO
    for hold in waiting:
        if hold.outstanding:
            places[hold.id] = QueuePlace(len(places) + 1, ahead)
            ahead = add(ahead, hold.outstanding)
    return places
