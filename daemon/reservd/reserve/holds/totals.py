"""What the holds of a book add up to, by account group and by mode."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds.hold import GroupReading, Hold
from reservd.reserve.holds.places import HoldPlaces
from reservd.reserve.holds.queue import QueuePlace
from reservd.reserve.holds.sums import GroupSums, ModeSums


class HoldTotals:
    """The sums of all holds that count, updated as holds come and go. What is not known has a sum of 0.

    Args:
        places: The accounts on which each hold counts.
    """

    def __init__(self, places: HoldPlaces) -> None:
        self._places = places
        self._groups: defaultdict[str, GroupSums] = defaultdict(GroupSums)
        self._modes: defaultdict[str, ModeSums] = defaultdict(ModeSums)

    def enter(self, hold: Hold) -> None:
        """Count a hold."""
        for sums in self._all_of(hold):
            sums.enter(hold)

    def leave(self, hold: Hold) -> None:
        """Stop counting a hold."""
        for sums in self._all_of(hold):
            sums.leave(hold)

    def restart_groups(self) -> None:
        """Count nothing on any group, once all holds have left; arrivals are counted from where they were."""
        levels = self.levels()
        self._groups.clear()
        for group, level in levels.items():
            self._groups[group].level = level

    def of_group(self, group: str) -> GroupSums:
        """Return the sums of a group, to change them."""
        return self._groups[group]

    def of_mode(self, mode: str) -> ModeSums:
        """Return the sums of a mode, to change them."""
        return self._modes[mode]

    def forget_payouts(self, before: datetime) -> None:
        """Drop payouts that are too old for anything to be counted from before them."""
        for sums in self._modes.values():
            sums.payouts.forget(before)

    def _all_of(self, hold: Hold) -> Iterator[GroupSums | ModeSums]:
        """Yield all sums in which a hold counts."""
        for group in self._places.groups(hold):
            yield self._groups[group]
        if not self._places.is_apart(hold):
            yield self._modes[hold.mode]

    def levels(self) -> dict[str, GroupReading | None]:
        """Return the reading that arrivals are counted from, of each group that any hold counted on."""
        return {group: sums.level for group, sums in self._groups.items()}

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
        sums = self._groups.get(self._places.groups(hold)[0])
        return None if sums is None else sums.stand(hold)

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

    def paid_of(self, group: str, reading: GroupReading) -> Decimal:
        """Return the part of a reading that is promised and already paid: the reading is older than the payment."""
        sums = self._groups.get(group)
        return ZERO if sums is None else sums.paid(reading)

    def has_late(self, group: str) -> bool:
        """Return whether a later reading is needed to tell what had arrived beside a payment."""
        sums = self._groups.get(group)
        return sums is not None and sums.has_late

    def owed(self, mode: str, observed_at: datetime) -> Decimal:
        """Return the amount of accepted withdrawals that an equity of that time still includes."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.owed(observed_at)

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

    def accepted_since(self, mode: str, since: datetime) -> Decimal:
        """Return what a mode with limits has accepted after a time, without what was cancelled. `since` only grows."""
        sums = self._modes.get(mode)
        return ZERO if sums is None else sums.accepted_since(since)

    def is_accepted_in_doubt(self, mode: str, since: datetime) -> bool:
        """Return whether a mode with limits may have accepted more after a time."""
        sums = self._modes.get(mode)
        return sums is not None and sums.doubted_at is not None and sums.doubted_at > since
