"""Running sums of payouts and arrivals, which are looked up instead of added up."""

from bisect import bisect_right, insort
from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.holds import GroupReading

_AT = itemgetter(0)


class RunningSums:
    """Amounts ordered by time or block, with the sum up to each, which is computed on first use."""

    __slots__ = ("_entries", "_sums")

    def __init__(self) -> None:
        self._entries: list[tuple[Any, int, Decimal]] = []
        self._sums: list[Decimal] = []

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, at: Any, position: int, amount: Decimal) -> None:
        """Add an amount; most come in order."""
        entry = (at, position, amount)
        insort(self._entries, entry)
        if self._entries[-1] is not entry:
            del self._sums[bisect_right(self._entries, entry) - 1 :]

    def after(self, at: Any) -> Decimal:
        """Return the sum of the amounts after a time or a block."""
        for _, _, amount in self._entries[len(self._sums) :]:
            self._sums.append(add(self._sums[-1] if self._sums else ZERO, amount))
        before = bisect_right(self._entries, at, key=_AT)
        whole = self._sums[-1] if self._sums else ZERO
        return subtract(whole, self._sums[before - 1]) if before else whole

    def drop(self, positions: Collection[int]) -> None:
        """Remove amounts."""
        self._entries = [entry for entry in self._entries if entry[1] not in positions]
        self._sums.clear()

    def drop_until(self, at: Any) -> None:
        """Remove amounts that are not after a time or a block."""
        ended = bisect_right(self._entries, at, key=_AT)
        if ended:
            del self._entries[:ended]
            self._sums.clear()


class Payouts:
    """What one mode has paid for withdrawals, by the time at which it left and, if reported, by its block."""

    __slots__ = ("_by_block", "_by_time", "_left_at", "_timed")

    def __init__(self) -> None:
        self._left_at: dict[int, datetime] = {}
        self._by_time = RunningSums()
        self._timed = RunningSums()
        self._by_block = RunningSums()

    def __len__(self) -> int:
        return len(self._left_at)

    def add(self, position: int, amount: Decimal, left_at: datetime, block: int | None) -> None:
        """Add the payout of a hold. Adding it again changes nothing."""
        if position in self._left_at:
            return
        self._left_at[position] = left_at
        self._by_time.add(left_at, position, amount)
        if block is None:
            self._timed.add(left_at, position, amount)
        else:
            self._by_block.add(block, position, amount)

    def between(self, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what left between two readings: the first still shows it (`is_shown`), the second does not."""
        if before.block is None or after.block is None:
            left = subtract(self._by_time.after(before.observed_at), self._by_time.after(after.observed_at))
        else:
            timed = subtract(self._timed.after(before.observed_at), self._timed.after(after.observed_at))
            blocks = subtract(self._by_block.after(before.block), self._by_block.after(after.block))
            left = add(timed, blocks)
        return max(ZERO, left)

    def forget(self, before: datetime) -> None:
        """Drop what left before a time."""
        self._drop({position for position, left_at in self._left_at.items() if left_at < before})

    def drop(self, position: int) -> None:
        """Drop the payout of a hold, if there is one."""
        self._drop({position} & self._left_at.keys())

    def _drop(self, positions: Collection[int]) -> None:
        if positions:
            for sums in (self._by_time, self._timed, self._by_block):
                sums.drop(positions)
            for position in positions:
                del self._left_at[position]
