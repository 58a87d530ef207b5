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
    """What a book of holds tells.

    Attributes:
        places: On which accounts each counts.
    """

    def __init__(self) -> None:
        self.places = HoldPlaces()
        self._holds: dict[str, Hold] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._groups: defaultdict[str, GroupSums] = defaultdict(GroupSums)
        self._modes: defaultdict[str, ModeSums] = defaultdict(ModeSums)

    def __len__(self) -> int:
        return len(self._holds)

    # What there is

    def find(self, hold_id: str) -> Hold | None:
        """Return the hold of an id."""
        return self._holds.get(hold_id)

    def find_key(self, mode: str, key: str) -> Hold | None:
        """Return the hold that was made under a key."""
        hold_id = self._ids.get((mode, key))
        return None if hold_id is None else self._holds[hold_id]

    def holds(self) -> list[Hold]:
        """Return all that are in the book, in order of decision."""
        return sorted(self._holds.values(), key=lambda hold: hold.position)

    def open_holds(self) -> Iterator[Hold]:
        """Yield those that are yet to be paid."""
        return (hold for hold in self._holds.values() if hold.open)

    def waiting(self, group: str) -> list[Hold]:
        """Return those that wait for money, the first to get it first."""
        sums = self._groups.get(group)
        return list(sums.waiting.values()) if sums is not None else []

    def last_waiting(self, group: str) -> Hold | None:
        """Return the last to get money; None when nobody waits for any."""
        sums = self._groups.get(group)
        return sums.waiting[next(reversed(sums.waiting))] if sums is not None and sums.waiting else None

    def stand(self, hold: Hold) -> QueuePlace | None:
        """Return where a hold stands in the queue of its accounts; None when it waits for nothing."""
        sums = self._groups.get(self.places.groups(hold)[0])
        return None if sums is None else sums.stand(hold)

    # Sums

    def knows(self, group: str) -> bool:
        """Whether any hold counts on a group; where none does, nothing of a reading is promised."""
        return group in self._groups

    def held(self, group: str, reading: GroupReading) -> Decimal:
        """Return what of a reading is promised, what arrived for those that wait included."""
        sums = self._groups.get(group)
        return ZERO if sums is None else add(sums.promised(reading), sums.arrived(reading))

    def held_by(self, group: str, mode: str, reading: GroupReading) -> Decimal:
        """Return what of a reading one of the modes promised."""
        sums = self._groups.get(group)
        return ZERO if sums is None else sums.promised_by(mode, reading)

    def owed(self, mode: str, observed_at: datetime) -> Decimal:
        """Return what an equity of that time still shows of the amounts of accepted withdrawals."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.owed(observed_at)

    def paid_of(self, group: str, reading: GroupReading) -> Decimal:
        """Return what of a reading is promised though it is paid: the reading is older than the payment."""
        sums = self._groups.get(group)
        return ZERO if sums is None else sums.paid(reading)

    def paid_by(self, mode: str, observed_at: datetime) -> Decimal:
        """Return what an equity of that time still shows of a mode's withdrawals though it is paid."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.paid(observed_at)

    def queued(self, mode: str) -> Decimal:
        """Return what the holds of a mode wait for."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.queued

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return what of that nobody is known to have been asked for, by the ids of the holds."""
        sums = self._modes.get(mode)
        return {} if sums is None else sums.due

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what a mode paid between two readings: in the one still, in the other not."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.payouts.between(before, after)

    def paid_apart(self, group: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return the same of what was promised of a group by modes that do not pay it any more."""
        total = ZERO
        for hold in map(self._holds.__getitem__, self.places.apart_on(group)):
            if hold.left_at is not None and is_shown(hold, before) and not is_shown(hold, after):
                total = add(total, hold.amount)
        return total

    def accepted_since(self, mode: str, since: datetime) -> Decimal:
        """Return what a mode that limits it accepted after then, what was cancelled left out. `since` only grows."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.accepted_since(since)

    def is_accepted_in_doubt(self, mode: str, since: datetime) -> bool:
        """Return whether a mode that limits it may have accepted more after then."""
        sums = self._modes.get(mode)
        return sums is not None and sums.doubted_at is not None and sums.doubted_at > since
