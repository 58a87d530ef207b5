"""Everything between a decision and the sinks, for as long as this daemon owns the store."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from reservd.config.settings import EventSinkSettings, Settings
from reservd.delivery.dispatcher import Dispatcher
from reservd.delivery.housekeeping import Housekeeping, Retention
from reservd.delivery.journal import Journal
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.outbox import Outbox
from reservd.delivery.retry import RetrySchedule
from reservd.delivery.scope import SinkScope
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Checked, Observer
from reservd.plugin.interfaces import EventSink
from reservd.reserve.kept import KeptState
from reservd.reserve.models import ReserveStatus
from reservd.store.database import Database
from reservd.store.letters import Letter
from reservd.store.outbox import OutboxEvent, last_position
from reservd.store.ownership import Ownership
from reservd.store.schema import upgrade
from reservd.store.states import load_states


class Pipeline(Observer):
    """Journal, dispatchers and housekeeping of one owner. An observer of the reserve manager.

    Args:
        database: The store.
        ownership: Held by this daemon.
        sinks: By name.
        settings: The settings of each sink, by name, and how long rows are kept.
        routes: The sinks that each mode names, by mode.
        clock: The clock.
        observers: Notified of deliveries and of the store.

    Attributes:
        states: The stored states of the modes, after `open`.
        journal: Writes what is decided.
    """

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        sinks: Mapping[str, EventSink[Any]],
        settings: Settings,
        routes: Mapping[str, Sequence[str]],
        clock: Clock,
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        scopes = {name: _scope(settings.event_sinks[name], sink) for name, sink in sinks.items()}
        self.states: Mapping[str, KeptState] = {}
        self.journal = Journal(database, ownership, routes, scopes, self._send, self._drop, clock, observers)
        outbox = Outbox(database, self.journal, _modes_by_sink(routes, scopes))
        self._dispatchers = {
            name: Dispatcher(sink, outbox, each.concurrency, _schedule(each), observers)
            for name, sink in sinks.items()
            for each in (settings.event_sinks[name],)
        }
        retention = Retention(
            timedelta(seconds=settings.store.keep_events),
            timedelta(seconds=settings.store.keep_snapshots),
            timedelta(seconds=settings.store.snapshot_interval),
        )
        self._housekeeping = Housekeeping(
            database, ownership, self.journal, self._dispatchers, retention, clock, observers
        )
        self._database = database
        self._ownership = ownership

    @property
    def up(self) -> bool:
        """Whether the store took the last write."""
        return self.journal.up

    @property
    def may_act(self) -> bool:
        """Whether refills may be requested."""
        return self.journal.may_act

    async def open(self) -> None:
        """Load the stored states and the pending letters.

        Raises:
            StoreError: If the store cannot be read.
        """
        await upgrade(self._database)
        async with self._database.read() as connection:
            self.states = await load_states(connection)
            self.journal.resume(await last_position(connection), self.states)
        await self._housekeeping.look()
        for dispatcher in self._dispatchers.values():
            await dispatcher.prepare()

    async def run(self) -> None:
        """Store and deliver until cancelled; if the store could not be reached at the start, only until it is back.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        writing = asyncio.create_task(self.journal.run())
        others = [asyncio.create_task(dispatcher.run()) for dispatcher in self._dispatchers.values()]
        if self._ownership.epoch:
            others.append(asyncio.create_task(self._housekeeping.run()))
        try:
            done, _ = await asyncio.wait({writing, *others}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            writing.cancel()
            await asyncio.wait({writing})
            # Send the last decisions, and write down their outcomes.
            await self.journal.flush()
            await asyncio.gather(*(dispatcher.close() for dispatcher in self._dispatchers.values()))
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self.journal.flush()

    def checked(self, checked: Checked) -> None:
        """Take the result of a check."""
        self.journal.checked(checked)
        self._housekeeping.checked(checked)

    def _send(self, sink: str, letter: Letter) -> None:
        self._dispatchers[sink].send(letter)

    def _drop(self, events: Iterable[OutboxEvent]) -> None:
        positions: defaultdict[str, set[int]] = defaultdict(set)
        for each in events:
            positions[each.event.strategy_mode].add(each.position)
        for dispatcher in self._dispatchers.values():
            dispatcher.forget(positions)


def _scope(settings: EventSinkSettings, sink: EventSink[Any]) -> SinkScope:
    tells = type(sink).deliver_replenishment is not EventSink.deliver_replenishment
    return SinkScope(settings.modes, settings.events, ReserveStatus(settings.minimum_severity), tells)


def _schedule(settings: EventSinkSettings) -> RetrySchedule:
    retry = settings.retry
    return RetrySchedule(retry.first, retry.longest, timedelta(seconds=retry.give_up_after))


def _modes_by_sink(routes: Mapping[str, Sequence[str]], scopes: Mapping[str, SinkScope]) -> dict[str, list[str]]:
    return {
        sink: [mode for mode, sinks in routes.items() if sink in sinks and scope.covers(mode)]
        for sink, scope in scopes.items()
    }
