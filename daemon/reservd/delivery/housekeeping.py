"""The store owner's background work: operators' requests, checkpoints, gauges, and pruning."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog

from reservd.delivery.age_clock import AgeClock
from reservd.delivery.dispatcher import Dispatcher
from reservd.delivery.journal import Journal
from reservd.delivery.observer import DeliveryObserver
from reservd.errors import OwnershipLostError, StoreError
from reservd.log import DefectLog
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.kept import keep
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot, prune_snapshots
from reservd.store.letters import load_backlogs, load_mode
from reservd.store.operators import (
    Redelivery,
    load_redeliveries,
    load_silenced_modes,
    load_silences,
    meet_redeliveries,
    prune_silences,
)
from reservd.store.orders import prune_orders
from reservd.store.outbox import make_unsaid_wait, prune_events
from reservd.store.ownership import Ownership

log = structlog.get_logger(__name__)
T = TypeVar("T")

_LOOK_SECONDS = 1.0
_COUNT_SECONDS = 5.0
_PRUNE_SECONDS = 60.0
_STEP = 500
"""Rows to remove or hand over at a time: a longer step would delay events."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows are kept.

    Attributes:
        events: For events that wait for no sink, dead letters included, and for silences and orders that are over.
        snapshots: For the history.
        snapshot_every: How often a mode's snapshot is added to the history while there are no events.
    """

    events: timedelta = timedelta(days=90)
    snapshots: timedelta = timedelta(days=30)
    snapshot_every: timedelta = timedelta(seconds=60)


class Housekeeping(Observer):
    """Runs beside the journal.

    Args:
        database: The store.
        ownership: Held by this daemon.
        journal: Takes checkpoints and silences.
        dispatchers: By sink.
        retention: How long rows are kept.
        clock: The clock.
        observers: Notified of the size of the backlogs.
    """

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        journal: Journal,
        dispatchers: Mapping[str, Dispatcher],
        retention: Retention,
        clock: Clock,
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        self._database = database
        self._ownership = ownership
        self._journal = journal
        self._dispatchers = dispatchers
        self._retention = retention
        self._clock = clock
        self._age_clock = AgeClock(clock)
        self._observers = observers
        self._defects = DefectLog("housekeeping.broke")
        self._looked = False
        self._heard_again: frozenset[str] = frozenset()
        self._checked: dict[str, Checked] = {}
        self._due = dict.fromkeys((self._count, self._checkpoint, self._prune), 0.0)

    def checked(self, checked: Checked) -> None:
        """Remember a mode's latest check until the next checkpoint."""
        self._checked[checked.mode] = checked

    async def run(self) -> None:
        """Run the tasks until cancelled. A defect in one of them, such as a damaged row, does not stop the others.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        while True:
            try:
                await self.look()
                for task, due in self._due.items():
                    if time.monotonic() >= due:
                        self._due[task] = time.monotonic() + (await self._try(task) or 0)
            except StoreError as error:
                log.debug("housekeeping.failed", error=str(error))  # the journal logs this at a higher level
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Process what operators wrote.

        Raises:
            StoreError: If the store cannot be read.
        """
        await self._try(self._look)

    async def _try(self, task: Callable[[], Awaitable[T]]) -> T | None:
        """Run a task and return its result; None if it failed because of a defect."""
        try:
            return await task()
        except (StoreError, OwnershipLostError):
            raise
        except Exception as error:  # noqa: BLE001  # logged
            self._defects.tell(error)
            return None

    async def _look(self) -> None:
        now = self._clock.now().wall
        async with self._database.read() as connection:
            silences = await load_silences(connection, now)
            requests = await load_redeliveries(connection, _STEP)
            ended = frozenset() if self._looked else await load_silenced_modes(connection, now)
        # The first look includes silences that ended while no daemon was running.
        heard_again = self._journal.silences.update(silences) | (ended - {each.mode for each in silences})
        self._looked = True
        # Wait for one more look: by then the last silenced events are in the store.
        due, self._heard_again = self._heard_again, self._heard_again | heard_again
        if due:
            await self._catch_up(due)
            # Only now: if the store could not be written, the next look tries again.
            self._heard_again = heard_again
        if requests:
            await self._redeliver(requests)

    async def _catch_up(self, modes: Iterable[str]) -> None:
        """Deliver the last change of modes whose silence has ended, if a sink missed it: an incident may have ended."""
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            unsaid = {mode: await make_unsaid_wait(connection, mode) for mode in modes}
        for dispatcher in self._dispatchers.values():
            for mode, position in unsaid.items():
                if position is not None:
                    dispatcher.reload(mode, position)
            # A sink that holds state has not repeated it during the silence.
            dispatcher.resume_soon()

    async def _redeliver(self, requests: Sequence[Redelivery]) -> None:
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            await meet_redeliveries(connection, requests)
            modes = {request.position: await load_mode(connection, request.position) for request in requests}
        for request in requests:
            mode, dispatcher = modes[request.position], self._dispatchers.get(request.sink)
            log.info("delivery.asked_again", sink=request.sink, mode=mode, by=request.asked_by)
            if mode is not None and dispatcher is not None:
                dispatcher.reload(mode, request.position)

    async def _count(self) -> float:
        async with self._database.read() as connection:
            backlogs = await load_backlogs(connection)
        for observer in self._observers:
            observer.backlogs(backlogs)
        return _COUNT_SECONDS

    async def _checkpoint(self) -> float:
        """Store what is new of the modes, so that a restart knows their state and how old it is."""
        modes = list(self._checked)
        # In short steps, each with the newest check of every mode at that time.
        for start in range(0, len(modes), _STEP):
            checked = [self._checked.pop(mode) for mode in modes[start : start + _STEP]]
            now = self._clock.now()
            self._journal.keep_states(
                {each.mode: keep(each.step.state, now) for each in checked},
                [KeptSnapshot(each.status, each.snapshot) for each in checked],
            )
            await asyncio.sleep(0)
        return self._retention.snapshot_every.total_seconds()

    async def _prune(self) -> float:
        """Remove some old rows. If more are left, continue at the next look."""
        now = self._age_clock.now()
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            events = await prune_events(connection, now - self._retention.events, _STEP, self._dispatchers)
            snapshots = await prune_snapshots(connection, now - self._retention.snapshots, _STEP)
            await prune_silences(connection, now - self._retention.events)
            orders = await prune_orders(connection, now - self._retention.events, _STEP)
        return 0 if max(events, snapshots, orders) >= _STEP else _PRUNE_SECONDS
