"""The book of holds, in which they are recorded and changed, and what of it is yet to be stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import add, subtract
from reservd.reserve.holds.hold import CLOCKS_DIFFER_BY, GroupReading, Hold, is_older, is_shown
from reservd.reserve.holds.places import Accounts, Grouping
from reservd.reserve.holds.sums import GroupSums, ModeSums
from reservd.reserve.holds.view import HoldView


class Changes(NamedTuple):
    """What is to be stored."""

    holds: Sequence[Hold]
    levels: Mapping[str, GroupReading]
    accounts: Mapping[str, Accounts]
    """What the accounts of groups are that are new."""


class Payout(NamedTuple):
    """What was paid for a hold."""

    mode: str
    currency: str
    position: int
    amount: Decimal
    left_at: datetime
    block: int | None


class HoldBook(HoldView):
    """Holds are put in when they are made and again when they change; what changed is kept until it is stored.

    Attributes:
        last_position: The highest position that was given.
    """

    def __init__(self, is_limited: Callable[[str], bool] = lambda _: False) -> None:
        """Make an empty book.

        Args:
            is_limited: Whether a mode limits what is accepted within a period; of others it is not counted.
        """
        super().__init__()
        self._is_limited = is_limited
        self._ended: dict[str, datetime] = {}
        self._just_ended: dict[str, None] = {}
        self._changed: dict[str, None] = {}
        self._moved: dict[str, None] = {}
        self.last_position = 0

    # Changes

    def put(self, hold: Hold, accepted_at: datetime | None = None) -> None:
        """Take in a new hold, or what became of one.

        Args:
            hold: The hold.
            accepted_at: When a new one was accepted, by the time that limits go by; when it was decided unless given.
        """
        if hold.position > self.last_position and self._is_limited(hold.mode):
            self._modes[hold.mode].accept(hold.position, hold.amount, accepted_at or hold.decided_at)
        self.load([hold])
        self._changed[hold.id] = None

    def rest_on(self, group: str, reading: GroupReading | None) -> None:
        """Note the reading that a decision rests on, before its hold is put in: only what comes in after it arrived.

        Where some wait already, arrivals are counted from when they began to. Where nothing is known of the
        accounts, they are counted from the first reading that is believed.
        """
        sums = self._groups[group]
        if sums.waiting and sums.level is not None:
            return
        if reading is not None:
            self._advance(group, reading)
        else:
            sums.level = None

    def believe(self, group: str, reading: GroupReading) -> list[Hold]:
        """Hold what a believed reading shows to have arrived for those that wait, and return those that got some.

        A reading that is older than the one before, as of a node that lags, tells of no arrival: what came in
        between would be counted twice.
        """
        sums = self._groups.get(group)
        if sums is None or not sums.waiting or (sums.level is not None and is_older(reading, sums.level)):
            return []
        got: list[Hold] = []
        rest = sums.arrived(reading)
        for hold in self.waiting(group) if rest else ():
            if not rest:
                break
            part = min(rest, hold.outstanding)
            rest = subtract(rest, part)
            got.append(replace(hold, arrived=add(hold.arrived, part)))
        for hold in got:
            self.put(hold)
        self._advance(group, reading)
        return got

    def set_back(self, by: timedelta, now: datetime) -> None:
        """Correct for a clock that was ahead and was set back: shift the times of what was read and paid by it.

        Otherwise no reading would be newer than the one that arrivals are counted from, nor without what was paid.

        Args:
            by: How far it was ahead; 0 where that is not known.
            now: By the clock as it is. Nothing was read or paid later.
        """
        latest = now + CLOCKS_DIFFER_BY
        for name, sums in self._groups.items():
            if sums.level is not None and sums.level.observed_at > latest:
                sums.level = sums.level._replace(observed_at=min(sums.level.observed_at - by, now))
                self._moved[name] = None
        for hold in list(self._holds.values()):
            if hold.left_at is not None and hold.left_at > latest:
                left_at = min(hold.left_at - by, now)
                paid_at = left_at if hold.paid_at is not None else None
                self._modes[hold.mode].payouts.drop(hold.position)
                self.put(replace(hold, ended_at=min((hold.ended_at or now) - by, now), paid_at=paid_at))

    def _advance(self, group: str, reading: GroupReading) -> None:
        sums = self._groups[group]
        if sums.level is None or (reading != sums.level and not is_older(reading, sums.level)):
            sums.level = reading
            self._moved[group] = None

    @property
    def changed(self) -> bool:
        """Whether something is to be stored."""
        return bool(self._changed or self._moved or self.places.changed)

    def take_changes(self) -> Changes:
        """Return what is to be stored, and forget that it is."""
        levels = {group: level for group in self._moved if (level := self._groups[group].level) is not None}
        changes = Changes([self._holds[hold_id] for hold_id in self._changed], levels, self.places.take_new())
        self._changed, self._moved = {}, {}
        return changes

    # What is stored as it is

    def load(self, holds: Iterable[Hold]) -> None:
        """Take in holds, those that wait for money in order of decision."""
        for each in holds:
            before = self._holds.get(each.id)
            if before is not None:
                self._leave(before)
            hold = each if before is not None else self._place(each)
            self._enter(hold)
            self._holds[hold.id] = hold
            self._ids[hold.mode, hold.key] = hold.id
            self.last_position = max(self.last_position, hold.position)
            if not hold.open and hold.id not in self._ended:
                self._just_ended[hold.id] = None

    def group_by(self, grouping: Grouping) -> None:
        """Take holds to the accounts that their modes are paid from now, those that are put in later too."""
        self.places.grouping = grouping
        self.regroup()

    def regroup(self) -> None:
        """Take holds to the accounts that their modes are paid from now: what was promised of them goes along.

        What its mode does not pay any more is no longer among what that owes, and counts on the accounts that were
        promised, whoever is paid from them now.
        """
        if all(map(self.places.stays, self._holds.values())):
            return
        levels = {name: sums.level for name, sums in self._groups.items()}
        for hold in self._holds.values():
            self._leave(hold)
        self._groups.clear()
        for hold in self.holds():
            apart = self.places.is_apart(hold)
            moved = self._holds[hold.id] = self._place(hold)
            if self.places.is_apart(moved) and not apart:
                self._modes[moved.mode].disown(moved)
            self._enter(moved)
        for name, level in levels.items():
            self._groups[name].level = level

    def _place(self, hold: Hold) -> Hold:
        placed = self.places.place(hold)
        if placed is not hold and placed.open:
            self._changed[hold.id] = None
        return placed

    def _enter(self, hold: Hold) -> None:
        for sums in self._sums(hold):
            sums.enter(hold)

    def _leave(self, hold: Hold) -> None:
        for sums in self._sums(hold):
            sums.leave(hold)

    def _sums(self, hold: Hold) -> Iterator[GroupSums | ModeSums]:
        """Yield all that a hold counts in."""
        for group in self.places.groups(hold):
            yield self._groups[group]
        if not self.places.is_apart(hold):
            yield self._modes[hold.mode]

    def load_levels(self, levels: Mapping[str, GroupReading]) -> None:
        """Take in levels."""
        for group, level in levels.items():
            self._groups[group].level = level

    def load_payouts(self, payouts: Iterable[Payout]) -> None:
        """Take in what was paid, of holds that need not be in the book."""
        for each in payouts:
            self._modes[each.mode].payouts.add(each.position, each.amount, each.left_at, each.block)

    def forget_payouts(self, before: datetime) -> None:
        """Leave out what was paid so long ago that nothing is counted from before it."""
        for sums in self._modes.values():
            sums.payouts.forget(before)

    def load_accepted(self, mode: str, accepted: Iterable[tuple[int, Decimal, datetime]]) -> None:
        """Take in what counts for a mode's period, in order of time: positions, amounts and times of decision."""
        for position, amount, at in accepted:
            self._modes[mode].accept(position, amount, at)

    def doubt_accepted(self, mode: str, at: datetime) -> None:
        """Note that an unknown amount, accepted by then, counts towards a mode's limit for its period."""
        self._modes[mode].doubted_at = at

    def forget(self, now: datetime, after: timedelta, keep: int = 0) -> None:
        """Leave out holds that ended so long ago that no reading shows them.

        What ended was seen to by the next call at the latest: from then it is measured, by the callers' time alone.

        Args:
            now: The time, by a clock that is never set.
            after: Readings that are older are never believed.
            keep: So many of the newest that ended stay all the same.
        """
        self._ended |= dict.fromkeys(self._just_ended, now)
        self._just_ended.clear()
        for hold_id, seen_at in list(self._ended.items())[: max(0, len(self._ended) - keep)]:
            if now - seen_at < after:
                break
            hold = self._holds[hold_id]
            if hold_id in self._changed or self._is_counted_from(hold):
                continue
            self._leave(hold)
            self.places.forget(hold)
            del self._holds[hold_id], self._ids[hold.mode, hold.key], self._ended[hold_id]

    def _is_counted_from(self, hold: Hold) -> bool:
        """Whether arrivals for others are counted from a reading that shows a hold."""
        groups = [self._groups[group] for group in self.places.groups(hold)]
        return any(each.level is not None and is_shown(hold, each.level) for each in groups if each.waiting)
