"""Read access to all holds that still matter: by id, by key, and summed by account group and by mode."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds.hold import GroupReading, Hold, is_shown
from reservd.reserve.holds.places import HoldPlaces
from reservd.reserve.holds.queue import QueuePlace
from reservd.reserve.holds.sums import GroupSums, ModeSums


class HoldView:
    """Read access to a book of holds.

    Attributes:
        places: The accounts on which each hold counts.
    """

    def __init__(self) -> None:
        self.places = HoldPlaces()
        self._holds: dict[str, Hold] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._groups: defaultdict[str, GroupSums] = defaultdict(GroupSums)
        self._modes: defaultdict[str, ModeSums] = defaultdict(ModeSums)

    def __len__(self) -> int:
        return len(self._holds)

    # Holds

    def find(self, hold_id: str) -> Hold | None:
        """Return the hold with an id."""
        return self._holds.get(hold_id)

    def find_key(self, mode: str, key: str) -> Hold | None:
        """Return the hold that was made under a key."""
        hold_id = self._ids.get((mode, key))
        return None if hold_id is None else self._holds[hold_id]

    def holds(self) -> list[Hold]:
        """Return all holds in the book, in order of decision."""
        return sorted(self._holds.values(), key=lambda hold: hold.position)

    def open_holds(self) -> Iterator[Hold]:
        """Yield the holds that still have to be paid."""
        return (hold for hold in self._holds.values() if hold.open)

    def waiting(self, group: str) -> list[Hold]:
        """Return the holds that wait for money, first in line first."""
        sums = self._groups.get(group)
        return list(sums.waiting.values()) if sums is not None else []

    def last_waiting(self, group: str) -> Hold | None:
        """Return the last hold in line for money; None when none waits."""
        sums = self._groups.get(group)
        return sums.waiting[next(reversed(sums.waiting))] if sums is not None and sums.waiting else None

    def stand(self, hold: Hold) -> QueuePlace | None:
        """Return a hold's position in the queue of its accounts; None when it waits for nothing."""
        sums = self._groups.get(self.places.groups(hold)[0])
        return None if sums is None else sums.stand(hold)

    # Sums

    def knows(self, group: str) -> bool:
        """Return whether any hold counts on a group; otherwise nothing of a reading is promised."""
        return group in self._groups

    def held(self, group: str, reading: GroupReading) -> Decimal:
        """Return the promised part of a reading, including what has arrived for waiting holds."""
        sums = self._groups.get(group)
        return ZERO if sums is None else add(sums.promised(reading), sums.arrived(reading))

    def held_by(self, group: str, mode: str, reading: GroupReading) -> Decimal:
        """Return the part of a reading that one of the modes has promised."""
        sums = self._groups.get(group)
        return ZERO if sums is None else sums.promised_by(mode, reading)

    def owed(self, mode: str, observed_at: datetime) -> Decimal:
        """Return the amount of accepted withdrawals that an equity of that time still includes."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.owed(observed_at)

    def paid_of(self, group: str, reading: GroupReading) -> Decimal:
        """Return the part of a reading that is promised and already paid: the reading is older than the payment."""
        sums = self._groups.get(group)
        return ZERO if sums is None else sums.paid(reading)

    def paid_by(self, mode: str, observed_at: datetime) -> Decimal:
        """Return the amount of a mode's paid withdrawals that an equity of that time still includes."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.paid(observed_at)

    def queued(self, mode: str) -> Decimal:
        """Return the amount that a mode's holds wait for."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.queued

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return the amounts of that which are not known to have been requested from anyone, by hold id."""
        sums = self._modes.get(mode)
        return {} if sums is None else sums.due

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what a mode has paid between two readings: the first still includes it, the second does not."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.payouts.between(before, after)

    def paid_apart(self, group: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return the same for what modes that no longer pay it had promised of a group."""
        total = ZERO
        for hold in map(self._holds.__getitem__, self.places.apart_on(group)):
            if hold.left_at is not None and is_shown(hold, before) and not is_shown(hold, after):
                total = add(total, hold.amount)
        return total

    def accepted_since(self, mode: str, since: datetime) -> Decimal:
        """Return what a mode with limits has accepted after a time, without what was cancelled. `since` only grows."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.accepted_since(since)

    def is_accepted_in_doubt(self, mode: str, since: datetime) -> bool:
        """Return whether a mode with limits may have accepted more after a time."""
        sums = self._modes.get(mode)
        return sums is not None and sums.doubted_at is not None and sums.doubted_at > since
