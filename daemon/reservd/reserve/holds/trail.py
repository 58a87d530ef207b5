"""Finds money that arrived unnoticed, because a payment that nobody had reported yet left at the same time.

Between two readings 50 leave for one withdrawal, and 50 arrive for another: the balance stays as it was. Only when the
payment is reported, after the second reading, is it known that something has arrived.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds.hold import CLOCKS_DIFFER_BY, GroupReading, Hold, as_of_newest, is_shown

_MAX_LENGTH = 256
"""The most falls and placed payments. Then a trail begins anew, and payments before that are not looked for. Also the
most due and late payments."""


class Fall(NamedTuple):
    """By how much the free balance fell between two readings, as far as no payment was known to explain it."""

    before: GroupReading
    after: GroupReading
    amount: Decimal


class Trail(NamedTuple):
    """How the free balance of a group of accounts fell while a withdrawal waits.

    Attributes:
        start: The reading that it begins with.
        falls: All falls since, in order of time.
        due: Payments that were reported before any account was read after them.
        late: Other reported payments that may still be in later readings, of some accounts at least.
        placed: Those that are in none.
        found: What arrived unnoticed beside them.
        unfunded: What arrived for those who wait, but seems to be promised to others: part of that may have been paid.
    """

    start: GroupReading
    falls: tuple[Fall, ...] = ()
    due: tuple[Hold, ...] = ()
    late: tuple[Hold, ...] = ()
    placed: tuple[Hold, ...] = ()
    found: Decimal = ZERO
    unfunded: Decimal = ZERO

    def note(self, before: GroupReading, after: GroupReading, change: Decimal) -> "Trail":
        """Return it with a change of the free balance, as it is with all that is known at the second reading."""
        trail = self._read_after_due(after) if self.due else self
        if len(self.falls) + len(self.placed) > _MAX_LENGTH or after.observed_at < before.observed_at:
            return Trail(after, due=trail.due, late=trail.late, unfunded=self.unfunded)
        if change >= ZERO:
            return trail
        return trail._replace(falls=(*self.falls, Fall(before, after, change.copy_negate())))

    def _read_after_due(self, reading: GroupReading) -> "Trail":
        """Return it with those payments still due that a reading shows, and those late that only a part of it shows."""
        newest = as_of_newest(reading)
        due = tuple(hold for hold in self.due if is_shown(hold, newest))
        if newest is reading or len(due) == len(self.due):
            return self._replace(due=due)
        partly = (hold for hold in self.due if is_shown(hold, reading) and not is_shown(hold, newest))
        return self._replace(due=due, late=(*self.late, *partly)[-_MAX_LENGTH:])

    def report(self, paid: Hold, latest: GroupReading) -> "Trail":
        """Return it with a payment that was reported after the latest reading; of too many, the last ones."""
        if is_shown(paid, as_of_newest(latest)):
            return self._replace(due=(*self.due[1 - _MAX_LENGTH :], paid))
        return self._replace(late=(*self.late[1 - _MAX_LENGTH :], paid))

    def place(self, latest: GroupReading) -> tuple[Decimal, "Trail"]:
        """Place the late payments that have left for certain; return what is now known to have arrived beside them."""
        gone: list[Hold] = []
        late: list[Hold] = []
        for hold in self.late:
            (gone if _has_left(hold, latest) else late).append(hold)
        if not gone:
            return ZERO, self
        placed = (*self.placed, *(hold for hold in gone if not _may_have_left(hold, self.start)))
        # All once more: which falls they explain depends on each other, and they are reported in any order.
        found = _unexplained(placed, self.falls)
        return subtract(found, self.found), self._replace(late=tuple(late), placed=placed, found=found)


def _unexplained(placed: Sequence[Hold], falls: Sequence[Fall]) -> Decimal:
    """Return the part of payments that no fall can be due to: as much as they paid has arrived at the same time."""
    left, total = [fall.amount for fall in falls], ZERO
    for hold in sorted(placed, key=_precision_and_time):
        total = add(total, _explain(hold, falls, left))
    return total


def _explain(hold: Hold, falls: Sequence[Fall], left: list[Decimal]) -> Decimal:
    """Take a payment off what is left of the falls that may be due to it, which are few; return the rest of it."""
    rest = hold.held
    number = bisect_left(falls, True, key=lambda fall: _may_have_left(hold, fall.after))
    while rest and number < len(falls) and not _has_left(hold, falls[number].before):
        part = min(rest, left[number])
        rest, left[number] = subtract(rest, part), subtract(left[number], part)
        number += 1
    return rest


def _precision_and_time(hold: Hold) -> tuple[bool, int, datetime | None]:
    """Return the order in which payments explain falls so that they explain the most: those of a known block first."""
    return hold.block is None, hold.block or 0, hold.left_at


def _has_left(hold: Hold, reading: GroupReading) -> bool:
    """Return whether a reading is certainly later than a payment: all its accounts are."""
    if hold.block is not None and reading.block is not None:
        return reading.block >= hold.block
    return hold.left_at is not None and reading.observed_at >= hold.left_at + CLOCKS_DIFFER_BY


def _may_have_left(hold: Hold, reading: GroupReading) -> bool:
    """Return whether a reading may be later than a payment: one of its accounts may be."""
    if hold.block is not None and reading.block is not None:
        return (reading.newest_block or reading.block) >= hold.block
    return hold.left_at is not None and (reading.newest_at or reading.observed_at) >= hold.left_at - CLOCKS_DIFFER_BY
