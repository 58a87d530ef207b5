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
"""How long delivery outcomes wait for more of them: only decisions are urgent."""

Drop = Callable[[Iterable[OutboxEvent]], None]
"""Has the sinks forget events that memory cannot hold."""


class Intake:
    """Collects decisions and delivery outcomes, and tells the writer when to write them.

    Args:
        drop: Has the sinks forget events.
        observers: Notified of records that were dropped because memory was full.

    Attributes:
        waiting: What the next write is cut from.
        position: The position of the newest event.
    """

    def __init__(self, drop: Drop, observers: Sequence[DeliveryObserver] = ()) -> None:
        self._drop = drop
        self._observers = observers
        self._news = asyncio.Event()
        self._lingering = False
        self.waiting = Batch()
        self.position = 0

    def add(self, decided: Decided) -> None:
        """Add an event, whose position is the one after the newest."""
        self.position = decided.outbox.position
        self.waiting.add(decided)
        self._bound()
        self.wake()

    def keep_snapshot(self, snapshot: KeptSnapshot) -> None:
        """Add a check's snapshot to the history. It is written with the event that the check leads to."""
        self.waiting.snapshots.append(snapshot)

    def settle(self, outcome: Outcome) -> None:
        """Add the outcome of a delivery attempt."""
        self.waiting.settle(outcome)
        self._bound()
        self._wake_soon()

    def keep_states(self, states: Mapping[str, KeptState], snapshots: Sequence[KeptSnapshot]) -> None:
        """Add states of modes that changed without an event, and snapshots for the history."""
        self.waiting.states |= states
        self.waiting.snapshots += snapshots
        self._bound()
        self._wake_soon()

    def keep_replenishment(self, record: Replenishment) -> None:
        """Add a record that changed only in details that no event reports."""
        self.waiting.records[record.id] = record
        self._wake_soon()

    def take(self) -> Batch:
        """Remove and return the next batch to write."""
        batch, self.waiting = self.waiting.cut()
        if self.waiting:
            self.wake()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Put back a batch that could not be written."""
        self.wake()
        self.waiting = batch.followed_by(self.waiting)
        self._bound()

    def wake(self) -> None:
        """Have the waiting records written now."""
        self._news.set()

    async def until_due(self, most_seconds: float) -> None:
        """Wait until there is something to write, or until the time is over."""
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: in Python 3.11 it swallows a cancellation that coincides with the event.
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
