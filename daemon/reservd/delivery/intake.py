"""The bounded queue of decisions that wait to be written to the store."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from reservd.delivery.batch import Batch, Decided
from reservd.delivery.observer import DeliveryObserver
from reservd.reserve.kept import KeptState
from reservd.reserve.replenishment.states import Replenishment
from reservd.store.history import KeptSnapshot
from reservd.store.outbox import OutboxEvent, Outcome

log = structlog.get_logger(__name__)

_LINGER_SECONDS = 0.05
"""What became of deliveries waits for more of its kind: only what was decided is urgent."""

Drop = Callable[[Iterable[OutboxEvent]], None]
"""Has the sinks forget events that memory cannot hold."""


class Intake:
    """Takes what is decided, and what became of it, and says when it is to be written.

    Args:
        drop: Has the sinks forget events.
        observers: Notified of what memory could not hold.

    Attributes:
        waiting: What the next write is cut from.
        position: Of the newest event that was decided.
    """

    def __init__(self, drop: Drop, observers: Sequence[DeliveryObserver] = ()) -> None:
        self._drop = drop
        self._observers = observers
        self._news = asyncio.Event()
        self._lingering = False
        self.waiting = Batch()
        self.position = 0

    def add(self, decided: Decided) -> None:
        """Take an event, whose position is the one after the newest."""
        self.position = decided.outbox.position
        self.waiting.add(decided)
        self._bound()
        self.wake()

    def keep_snapshot(self, snapshot: KeptSnapshot) -> None:
        """Take what a check found, for the history; it is written with the event that comes of it."""
        self.waiting.snapshots.append(snapshot)

    def settle(self, outcome: Outcome) -> None:
        """Take what an attempt at a delivery came to."""
        self.waiting.settle(outcome)
        self._bound()
        self._wake_soon()

    def keep_states(self, states: Mapping[str, KeptState], snapshots: Sequence[KeptSnapshot]) -> None:
        """Take what is kept of modes without an event, and snapshots for the history."""
        self.waiting.states |= states
        self.waiting.snapshots += snapshots
        self._bound()
        self._wake_soon()

    def keep_replenishment(self, record: Replenishment) -> None:
        """Take a record of which only what nobody is told of has changed."""
        self.waiting.records[record.id] = record
        self._wake_soon()

    def take(self) -> Batch:
        """Take out what the next write is to store."""
        batch, self.waiting = self.waiting.cut()
        if self.waiting:
            self.wake()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Take back what could not be written."""
        self.wake()
        self.waiting = batch.followed_by(self.waiting)
        self._bound()

    def wake(self) -> None:
        """Have what waits written now."""
        self._news.set()

    async def until_due(self, most_seconds: float) -> None:
        """Wait until something is to be written, or for so long."""
        with contextlib.suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it forgets that it was cancelled when there is news just then.
            async with asyncio.timeout(most_seconds):
                await self._news.wait()
        self._news.clear()

    def _wake_soon(self) -> None:
        if not self._lingering:
            self._lingering = True
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._lingered)

    def _lingered(self) -> None:
        self._lingering = False
        self.wake()

    def _bound(self) -> None:
        dropped = self.waiting.bound()
        if not dropped:
            return
        log.error("journal.dropped", events=len(dropped.events), outcomes=dropped.outcomes, snapshots=dropped.snapshots)
        self._drop(each.outbox for each in dropped.events)
        for observer in self._observers:
            observer.dropped(dropped.numbers)
