"""Decides withdrawals one at a time, on one book of holds."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from reservd.config.mode import ModeConfig
from reservd.monitor.clock import Clock, SteadyClock, SystemClock
from reservd.reserve.holds import CLOCKS_DIFFER_BY, Hold, HoldState
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.holds.places import AsDecided, Grouping
from reservd.store.history import KeptSnapshot

T = TypeVar("T")

_MOST_IN_MEMORY = 100_000
"""Ended holds that are remembered with their keys if there is no store."""


def shown_for(configs: Iterable[ModeConfig]) -> timedelta:
    """Return how long after its end a hold may still be in a reading, with ample margin for clocks that differ."""
    return max((2 * config.policy.max_staleness for config in configs), default=timedelta()) + timedelta(hours=1)


class HoldDesk:
    """Keeps holds only in memory, for a reserve manager that is embedded without a store.

    Operations are plain functions on the book that neither wait nor fail half-way, so that no other operation runs
    between an operation's check and its hold.

    Attributes:
        book: The holds.
        counted_from: Returns the time of the oldest reading that payouts are counted from; None when there is none.
        grouping: Which modes are paid from which accounts now.
        steady: Measures how long ago something was accepted, or ended.
        up: Whether decisions are kept.
    """

    _most_ended = _MOST_IN_MEMORY

    def __init__(self, is_limited: Callable[[str], bool] = lambda _: False, clock: Clock | None = None) -> None:
        """Start with an empty book.

        Args:
            is_limited: Returns whether a mode limits what is accepted within a period.
            clock: The clock; the machine's own unless given.
        """
        self.is_limited = is_limited
        self._clock = clock or SystemClock()
        self.steady = SteadyClock(self._clock)
        self._looked: SteadyClock | None = None
        self.book = HoldBook(is_limited)
        self.grouping: Grouping = AsDecided()
        self.counted_from: Callable[[], datetime | None] = lambda: None
        self.up = True

    def group_by(self, grouping: Grouping) -> None:
        """Move holds to the accounts that their modes are paid from, now and in future."""
        self.grouping = grouping
        self.book.group_by(grouping)

    async def submit(
        self, operation: Callable[[HoldBook], T], *, key: tuple[str, str] | None = None, hold_id: str | None = None
    ) -> T:
        """Run an operation and return its result once its changes are kept.

        Args:
            operation: Reads the book and adds its changes.
            key: The mode and key that it looks up, if any.
            hold_id: The id that it looks up, if any.

        Raises:
            StoreError: If it is not certain that the changes are kept. If the operation was not run, nothing is.
        """
        del key, hold_id
        result = operation(self.book)
        self.note_changes()
        return result

    def is_kept(self, hold_id: str) -> bool:
        """Return whether the state of a hold in the book is certain to be kept. Until then it must not be published."""
        del hold_id
        return True

    def note_changes(self) -> None:
        """Keep soon what others than operations added to the book."""
        self.book.take_changes()

    def keep_snapshot(self, snapshot: KeptSnapshot) -> None:
        """Add the snapshot that a decision is based on to the history, if there is one."""

    def heed_clock(self) -> None:
        """Detect whether the clock was set back, so that times in the book lie in the future, and correct them."""
        by = self._looked.ahead() if self._looked is not None else timedelta()
        if self._looked is None or by > CLOCKS_DIFFER_BY:
            self.book.set_back(by, self._clock.now().wall)
            if self.book.changed:
                self.note_changes()
        self._looked = SteadyClock(self._clock)

    def forget(self, after: timedelta) -> None:
        """Remove from memory what ended that long ago, regardless of changes of the machine's clock."""
        now = self.steady.now()
        self.book.forget(now, after, keep=self._most_ended)
        before = min(now, now - self.steady.ahead()) - after
        self.book.totals.forget_payouts(min(before, self.counted_from() or before))

    async def run(self) -> None:
        """Keep the recorded changes until cancelled."""
        await asyncio.Event().wait()

    async def load(
        self, mode: str | None, states: Collection[HoldState] | None, limit: int, before: int | None
    ) -> Sequence[Hold]:
        """Return holds, newest first: see `reservd.store.holds.load_holds`."""
        found = (
            hold
            for hold in reversed(self.book.holds())
            if (mode is None or hold.mode == mode)
            and (states is None or hold.state in states)
            and (before is None or hold.position < before)
        )
        return [hold for hold, _ in zip(found, range(limit), strict=False)]

    async def find(self, hold_id: str) -> Hold | None:
        """Return the hold with an id; None when there is none."""
        return self.book.find(hold_id)
