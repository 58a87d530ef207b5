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
"""Holds that ended and are remembered, with their keys, where no store has them."""


def shown_for(configs: Iterable[ModeConfig]) -> timedelta:
    """Return how long after its end a hold may still be in a reading, with ample room for clocks that differ."""
    return max((2 * config.policy.max_staleness for config in configs), default=timedelta()) + timedelta(hours=1)


class HoldDesk:
    """Keeps holds in memory alone: for a reserve manager that is embedded without a store.

    Operations are plain functions on the book that neither wait nor fail half-way, so that none
    comes between another's looking and holding.

    Attributes:
        book: The holds.
        counted_from: Returns the time of the oldest reading that payouts are counted from; None when there is none.
        grouping: Who is paid from which accounts now.
        steady: Tells how long ago something was accepted, or ended.
        up: Whether what is decided is kept.
    """

    _most_ended = _MOST_IN_MEMORY

    def __init__(self, is_limited: Callable[[str], bool] = lambda _: False, clock: Clock | None = None) -> None:
        """Begin with an empty book.

        Args:
            is_limited: Whether a mode limits what is accepted within a period.
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
        """Take holds to the accounts that their modes are paid from now, and so from now on."""
        self.grouping = grouping
        self.book.group_by(grouping)

    async def submit(
        self, operation: Callable[[HoldBook], T], *, key: tuple[str, str] | None = None, hold_id: str | None = None
    ) -> T:
        """Carry an operation out and return what it returns, once what it did is kept.

        Args:
            operation: Looks at the book and puts in what changes.
            key: The mode and key that it looks for, if any.
            hold_id: The id that it looks for, if any.

        Raises:
            StoreError: If it is not certain to be kept; nothing is, where it was not carried out at all.
        """
        del key, hold_id
        result = operation(self.book)
        self.note_changes()
        return result

    def is_kept(self, hold_id: str) -> bool:
        """Return whether what the book says of a hold is kept for certain: nobody else is to hear of it before."""
        del hold_id
        return True

    def note_changes(self) -> None:
        """Keep what was put in the book by others than operations, some time soon."""
        self.book.take_changes()

    def keep_snapshot(self, snapshot: KeptSnapshot) -> None:
        """Keep a snapshot that a decision rests on, where there is a history."""

    def heed_clock(self) -> None:
        """See whether the machine's clock was set back, so that something is told for later than now."""
        by = self._looked.ahead() if self._looked is not None else timedelta()
        if self._looked is None or by > CLOCKS_DIFFER_BY:
            self.book.set_back(by, self._clock.now().wall)
            if self.book.changed:
                self.note_changes()
        self._looked = SteadyClock(self._clock)

    def forget(self, after: timedelta) -> None:
        """Leave out of memory what ended so long ago, however the machine's clock is set."""
        now = self.steady.now()
        self.book.forget(now, after, keep=self._most_ended)
        before = min(now, now - self.steady.ahead()) - after
        self.book.totals.forget_payouts(min(before, self.counted_from() or before))

    async def run(self) -> None:
        """Keep what is noted until cancelled."""
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
        """Return the hold of an id."""
        return self.book.find(hold_id)
