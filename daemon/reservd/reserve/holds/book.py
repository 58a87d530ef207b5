"""The book of holds: records new and changed holds, and keeps track of what has to be stored."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds.hold import CLOCKS_DIFFER_BY, GroupReading, Hold, is_older, is_shown
from reservd.reserve.holds.places import Accounts, Grouping, HoldPlaces
from reservd.reserve.holds.totals import HoldTotals


class Changes(NamedTuple):
    """What has to be stored."""

    holds: Sequence[Hold]
    levels: Mapping[str, GroupReading]
    accounts: Mapping[str, Accounts]
    """The accounts of each new group."""


class Payout(NamedTuple):
    """What was paid for a hold."""

    mode: str
    currency: str
    position: int
    amount: Decimal
    left_at: datetime
    block: int | None


class HoldBook:
    """Takes in holds when they are made and whenever they change, and keeps the changes until they are stored.

    Attributes:
        places: The accounts on which each hold counts.
        totals: The sums of all holds that count.
        last_position: The highest position so far.
    """

    def __init__(self, is_limited: Callable[[str], bool] = lambda _: False) -> None:
        """Make an empty book.

        Args:
            is_limited: Returns whether a mode limits what it accepts within a period; accepted amounts are counted for
                those only.
        """
        self.places = HoldPlaces()
        self.totals = HoldTotals(self.places)
        self._holds: dict[str, Hold] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._is_limited = is_limited
        self._ended: dict[str, datetime] = {}
        self._just_ended: dict[str, None] = {}
        self._changed: dict[str, None] = {}
        self._moved: dict[str, None] = {}
        self.last_position = 0

    def __len__(self) -> int:
        return len(self._holds)

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

    def paid_apart(self, group: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what modes that no longer draw on a group paid of what was promised of it, between two readings."""
        total = ZERO
        for hold in map(self._holds.__getitem__, self.places.apart_on(group)):
            if hold.left_at is not None and is_shown(hold, before) and not is_shown(hold, after):
                total = add(total, hold.amount)
        return total

    def put(self, hold: Hold, accepted_at: datetime | None = None) -> None:
        """Add a new hold, or replace one that has changed.

        Args:
            hold: The hold.
            accepted_at: When a new hold was accepted, by the clock that limits go by; its decision time by default.
        """
        if hold.position > self.last_position and self._is_limited(hold.mode):
            self.totals.of_mode(hold.mode).accept(hold.position, hold.amount, accepted_at or hold.decided_at)
        before = self._holds.get(hold.id)
        self.load([hold])
        self._changed[hold.id] = None
        if before is not None and before.open and hold.left_at is not None:
            for group in self.places.groups(hold):
                self.totals.of_group(group).report(hold)

    def rest_on(self, group: str, reading: GroupReading | None) -> None:
        """Set the reading that a decision rests on, before its hold is added: only later inflows count as arrived.

        If holds wait already, arrivals are counted from when the first began to wait. Without a reading, they are
        counted from the first one that is believed.
        """
        sums = self.totals.of_group(group)
        if sums.waiting and sums.level is not None:
            return
        sums.count_from(sums.level if reading is not None else None)
        if reading is not None:
            self._advance(group, reading)

    def believe(self, group: str, reading: GroupReading) -> list[Hold]:
        """Hold what a believed reading shows to have arrived for waiting holds; return those that got some.

        A reading that is older than the last one, as from a node that lags, shows no arrival: counting from it would
        count later inflows twice.
        """
        if self.totals.last_waiting(group) is None:
            return []
        sums = self.totals.of_group(group)
        if sums.level is not None and is_older(reading, sums.level):
            return []
        got: list[Hold] = []
        rest = sums.take_arrived(reading)
        for hold in self.totals.waiting(group) if rest else ():
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
        """Shift the times of readings and payments after a clock that was ahead was set back.

        Otherwise no new reading would be later than the one that arrivals are counted from, or than a payment.

        Args:
            by: How far the clock was ahead; 0 if that is unknown.
            now: The time by the corrected clock. Nothing was read or paid later.
        """
        latest = now + CLOCKS_DIFFER_BY
        for group, level in self.totals.levels().items():
            if level is not None and level.observed_at > latest:
                self.totals.of_group(group).count_from(None)
                self._move(group, level._replace(observed_at=min(level.observed_at - by, now)))
        for hold in list(self._holds.values()):
            if hold.left_at is not None and hold.left_at > latest:
                left_at = min(hold.left_at - by, now)
                paid_at = left_at if hold.paid_at is not None else None
                self.totals.of_mode(hold.mode).payouts.drop(hold.position)
                self.put(replace(hold, ended_at=min((hold.ended_at or now) - by, now), paid_at=paid_at))

    def _advance(self, group: str, reading: GroupReading) -> None:
        sums = self.totals.of_group(group)
        if sums.level is None or (reading != sums.level and not is_older(reading, sums.level)):
            self._move(group, reading)

    def _move(self, group: str, level: GroupReading) -> None:
        self.totals.of_group(group).level = level
        self._moved[group] = None

    @property
    def changed(self) -> bool:
        """Whether something has to be stored."""
        return bool(self._changed or self._moved or self.places.changed)

    def take_changes(self) -> Changes:
        """Return what has to be stored, and clear it."""
        levels = {group: level for group in self._moved if (level := self.totals.of_group(group).level) is not None}
        changes = Changes([self._holds[hold_id] for hold_id in self._changed], levels, self.places.take_new())
        self._changed, self._moved = {}, {}
        return changes

    def load(self, holds: Iterable[Hold]) -> None:
        """Load holds; those that wait for money must come in order of decision."""
        for each in holds:
            before = self._holds.get(each.id)
            if before is not None:
                self.totals.leave(before)
            hold = each if before is not None else self._place(each)
            self.totals.enter(hold)
            self._holds[hold.id] = hold
            self._ids[hold.mode, hold.key] = hold.id
            self.last_position = max(self.last_position, hold.position)
            if not hold.open and hold.id not in self._ended:
                self._just_ended[hold.id] = None

    def group_by(self, grouping: Grouping) -> None:
        """Move all holds, and those added later, to the accounts from which their modes are now paid."""
        self.places.grouping = grouping
        self.regroup()

    def regroup(self) -> None:
        """Move holds to the accounts from which their modes are now paid.

        A hold that its mode no longer pays is no longer owed by it. It counts on the accounts that were promised,
        whichever mode is paid from them now.
        """
        if all(map(self.places.stays, self._holds.values())):
            return
        for hold in self._holds.values():
            self.totals.leave(hold)
        self.totals.restart_groups()
        for hold in self.holds():
            apart = self.places.is_apart(hold)
            moved = self._holds[hold.id] = self._place(hold)
            if self.places.is_apart(moved) and not apart:
                self.totals.of_mode(moved.mode).disown(moved)
            self.totals.enter(moved)

    def _place(self, hold: Hold) -> Hold:
        placed = self.places.place(hold)
        if placed is not hold and placed.open:
            self._changed[hold.id] = None
        return placed

    def load_levels(self, levels: Mapping[str, GroupReading]) -> None:
        """Load the level of each group."""
        for group, level in levels.items():
            self.totals.of_group(group).level = level

    def load_payouts(self, payouts: Iterable[Payout]) -> None:
        """Load payouts, of holds that need not be in the book."""
        for each in payouts:
            self.totals.of_mode(each.mode).payouts.add(each.position, each.amount, each.left_at, each.block)

    def load_accepted(self, mode: str, accepted: Iterable[tuple[int, Decimal, datetime]]) -> None:
        """Load what counts towards a mode's period, in order of time: positions, amounts and decision times."""
        for position, amount, at in accepted:
            self.totals.of_mode(mode).accept(position, amount, at)

    def doubt_accepted(self, mode: str, at: datetime) -> None:
        """Note that an unknown amount, accepted by then, counts towards a mode's limit for its period."""
        self.totals.of_mode(mode).doubted_at = at

    def forget(self, now: datetime, after: timedelta, keep: int = 0) -> None:
        """Drop holds that ended so long ago that no reading shows them.

        A hold counts as ended from the first call that sees it ended, so that only the caller's clock matters.

        Args:
            now: The time, by a clock that is never set.
            after: The age at which readings are no longer believed.
            keep: How many of the newest ended holds to keep regardless.
        """
        self._ended |= dict.fromkeys(self._just_ended, now)
        self._just_ended.clear()
        for hold_id, seen_at in list(self._ended.items())[: max(0, len(self._ended) - keep)]:
            if now - seen_at < after:
                break
            hold = self._holds[hold_id]
            if hold_id in self._changed or self._is_counted_from(hold):
                continue
            self.totals.leave(hold)
            self.places.forget(hold)
            del self._holds[hold_id], self._ids[hold.mode, hold.key], self._ended[hold_id]

    def _is_counted_from(self, hold: Hold) -> bool:
        """Return whether arrivals for others are counted from a reading that shows a hold."""
        groups = [self.totals.of_group(group) for group in self.places.groups(hold)]
        return any(each.level is not None and is_shown(hold, each.level) for each in groups if each.waiting)
