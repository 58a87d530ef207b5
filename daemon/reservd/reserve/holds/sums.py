"""Sums of holds, updated as holds come and go."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds.hold import GroupReading, Hold, Unwinding, as_of_newest, is_older, is_shown
from reservd.reserve.holds.queue import QueuePlace, line_up
from reservd.reserve.holds.trail import Trail
from reservd.reserve.running_sums import Payouts

_AT = itemgetter(0)


class Timeline:
    """Amounts ordered by time or block. Only the end, which is short, is ever added up."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[Any, int, Decimal]] = []

    def add(self, at: Any, position: int, amount: Decimal) -> None:
        """Add an amount."""
        insort(self._entries, (at, position, amount))

    def remove(self, at: Any, position: int, amount: Decimal) -> None:
        """Remove an amount that was added."""
        del self._entries[bisect_left(self._entries, (at, position, amount))]

    def after(self, at: Any) -> Decimal:
        """Return the sum of the amounts after a time or a block."""
        total = ZERO
        for _, _, amount in self._entries[bisect_right(self._entries, at, key=_AT) :]:
            total = add(total, amount)
        return total


class Promises:
    """The promises of some holds, and which readings still show their money."""

    __slots__ = ("_by_block", "_by_time", "_held", "_timed")

    def __init__(self) -> None:
        self._held = ZERO
        self._by_time = Timeline()
        self._by_block = Timeline()
        self._timed = Timeline()

    def enter(self, hold: Hold) -> None:
        """Count a hold."""
        if hold.open:
            self._held = add(self._held, hold.held)
        for timeline, at in self._timelines(hold):
            timeline.add(at, hold.position, hold.held)

    def leave(self, hold: Hold) -> None:
        """Remove a hold."""
        if hold.open:
            self._held = subtract(self._held, hold.held)
        for timeline, at in self._timelines(hold):
            timeline.remove(at, hold.position, hold.held)

    def in_reading(self, reading: GroupReading) -> Decimal:
        """Return the promised part of a reading: the sum over all holds whose money it shows (`is_shown`)."""
        return add(self._held, self.paid(reading))

    def paid(self, reading: GroupReading) -> Decimal:
        """Return the part of that which has been paid, and which a later reading no longer shows."""
        if reading.block is None:
            return self._by_time.after(reading.observed_at)
        return add(self._timed.after(reading.observed_at), self._by_block.after(reading.block))

    def _timelines(self, hold: Hold) -> Iterator[tuple[Timeline, Any]]:
        """Yield a settled hold's timelines and its point on each: readings with and without blocks differ in theirs."""
        if hold.left_at is not None:
            yield self._by_time, hold.left_at
            if hold.block is None:
                yield self._timed, hold.left_at
            else:
                yield self._by_block, hold.block


class GroupSums:
    """What is held of one group of accounts.

    Attributes:
        waiting: The holds that wait for money, by position, in order.
        level: The newest reading that was believed, or that a decision rested on: arrivals for waiting holds are
            counted from it. It never goes back, because what an older reading does not show yet may be promised.
    """

    __slots__ = ("_all", "_by_mode", "_outstanding", "_trail", "level", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, Hold] = {}
        self.level: GroupReading | None = None
        self._trail: Trail | None = None
        self._outstanding = ZERO
        self._all = Promises()
        self._by_mode: defaultdict[str, Promises] = defaultdict(Promises)

    def enter(self, hold: Hold) -> None:
        """Count a hold."""
        if hold.open:
            self._outstanding = add(self._outstanding, hold.outstanding)
        self._all.enter(hold)
        self._by_mode[hold.mode].enter(hold)
        if hold.outstanding:
            self.waiting[hold.position] = hold
        else:
            self.waiting.pop(hold.position, None)

    def leave(self, hold: Hold) -> None:
        """Remove a hold."""
        if hold.open:
            self._outstanding = subtract(self._outstanding, hold.outstanding)
        self._all.leave(hold)
        self._by_mode[hold.mode].leave(hold)

    def stand(self, hold: Hold) -> QueuePlace | None:
        """Return a hold's position in the queue; None when it waits for nothing. Constant time for the last one."""
        if hold.position not in self.waiting:
            return None
        if next(reversed(self.waiting)) == hold.position:
            return QueuePlace(len(self.waiting), subtract(self._outstanding, hold.outstanding))
        return line_up(self.waiting.values())[hold.id]

    def promised(self, reading: GroupReading) -> Decimal:
        """Return the promised part of a reading."""
        return self._all.in_reading(reading)

    def promised_by(self, mode: str, reading: GroupReading) -> Decimal:
        """Return the part of a reading that one mode has promised."""
        promises = self._by_mode.get(mode)
        return ZERO if promises is None else promises.in_reading(reading)

    def paid(self, reading: GroupReading) -> Decimal:
        """Return the part of a reading that is promised and has been paid, which a later reading no longer shows."""
        return self._all.paid(reading)

    def arrived(self, reading: GroupReading) -> Decimal:
        """Return what has arrived by a reading, as far as holds wait for it and it is not promised already."""
        return self._arrived(reading)[0]

    def take_arrived(self, reading: GroupReading) -> Decimal:
        """Return the same of a reading that is believed, and do not return it again."""
        arrived, self._trail = self._arrived(reading)
        return arrived

    def report(self, paid: Hold) -> None:
        """Note that a hold has just been reported as paid."""
        if not self.waiting or self.level is None:
            return
        if self._trail is not None or is_shown(paid, self.level):
            trail = self._trail if self._trail is not None else Trail(self.level)
            self._trail = trail.report(paid, self.level)

    def count_from(self, level: GroupReading | None) -> None:
        """Count arrivals from another level, as if nobody had waited before."""
        self.level, self._trail = level, None

    @property
    def has_late(self) -> bool:
        """Whether a later reading is needed to tell what had arrived beside a payment."""
        return bool(self.waiting) and self._trail is not None and bool(self._trail.late)

    def _arrived(self, reading: GroupReading) -> tuple[Decimal, Trail | None]:
        level = self.level
        if level is None or not self.waiting:
            return ZERO, self._trail
        # Both use the current holds: what was promised, paid or cancelled in between is no arrival.
        # A payment that not all accounts showed when the level was read counts as gone in both.
        start = as_of_newest(level)
        change = subtract(self._free(reading, _not_before(reading, start)), self._free(level, start))
        trail = self._trail if self._trail is not None else Trail(level)
        late, trail = trail.note(level, reading, change).place(reading)
        came = min(self._outstanding, add(max(ZERO, change), add(late, trail.unfunded)))
        arrived = max(ZERO, min(came, self._free(reading, reading)))
        return arrived, trail._replace(unfunded=subtract(came, arrived))

    def _free(self, reading: GroupReading, seen: GroupReading) -> Decimal:
        """Return what is not promised of a reading, which shows the payments that one like `seen` shows."""
        return subtract(reading.balance, self.promised(seen))


def _not_before(reading: GroupReading, other: GroupReading) -> GroupReading:
    """Return a reading as if it had not been observed before another."""
    if reading.observed_at >= other.observed_at and not is_older(reading, other):
        return reading
    block = reading.block if reading.block is None or other.block is None else max(reading.block, other.block)
    return reading._replace(observed_at=max(reading.observed_at, other.observed_at), block=block)


class ModeSums:
    """What one mode has accepted, and still owes.

    Attributes:
        payouts: What it has paid, including holds that were dropped from the book.
        queued: The amount that its holds wait for.
        due: The amounts of that which are not known to have been requested from anyone, by hold id.
        doubted_at: By when it had accepted an unknown amount; None if all amounts are known.
    """

    __slots__ = ("_accepted", "_amounts", "_in_period", "_owed", "_paid", "doubted_at", "due", "payouts", "queued")

    def __init__(self) -> None:
        self.payouts = Payouts()
        self.queued = ZERO
        self.due: dict[str, Decimal] = {}
        self.doubted_at: datetime | None = None
        self._owed = ZERO
        self._paid = Timeline()
        self._accepted: deque[tuple[datetime, int]] = deque()
        self._amounts: dict[int, Decimal] = {}
        self._in_period = ZERO

    def enter(self, hold: Hold) -> None:
        """Count a hold."""
        self.queued = add(self.queued, hold.outstanding)
        if hold.unwinding is Unwinding.DUE and hold.outstanding:
            self.due[hold.id] = hold.outstanding
        if hold.open:
            self._owed = add(self._owed, hold.amount)
        elif hold.left_at is not None:
            self._paid.add(hold.left_at, hold.position, hold.amount)
            self.payouts.add(hold.position, hold.amount, hold.left_at, hold.block)
        else:
            self.discount(hold.position)

    def leave(self, hold: Hold) -> None:
        """Remove a hold."""
        self.queued = subtract(self.queued, hold.outstanding)
        self.due.pop(hold.id, None)
        if hold.open:
            self._owed = subtract(self._owed, hold.amount)
        elif hold.left_at is not None:
            self._paid.remove(hold.left_at, hold.position, hold.amount)

    def disown(self, hold: Hold) -> None:
        """Stop counting a hold that the mode no longer pays, after it was removed."""
        self.payouts.drop(hold.position)
        self.discount(hold.position)

    def owed(self, observed_at: datetime) -> Decimal:
        """Return the accepted amount that an equity of that time still includes."""
        return add(self._owed, self.paid(observed_at))

    def paid(self, observed_at: datetime) -> Decimal:
        """Return the part of that which has been paid, and which a later equity no longer includes."""
        return self._paid.after(observed_at)

    def accept(self, position: int, amount: Decimal, at: datetime) -> None:
        """Count an amount for the period. Calls must come in order of time."""
        self._accepted.append((at, position))
        self._amounts[position] = amount
        self._in_period = add(self._in_period, amount)

    def discount(self, position: int) -> None:
        """Stop counting an amount that was cancelled, or belongs to an earlier period."""
        self._in_period = subtract(self._in_period, self._amounts.pop(position, ZERO))

    def accepted_since(self, since: datetime) -> Decimal:
        """Return the amount accepted after a time, and drop what was accepted before."""
        while self._accepted and self._accepted[0][0] <= since:
            self.discount(self._accepted.popleft()[1])
        return self._in_period
