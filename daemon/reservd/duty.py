"""What a daemon does while it owns the store: watches, publishes events, requests refills and decides withdrawals."""

import asyncio
import gc
import sys
import time
from collections.abc import Mapping
from typing import Any

import structlog

from reservd.config.load import Config
from reservd.delivery.pipeline import Pipeline
from reservd.monitor.clock import SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import Source
from reservd.reserve.kept import KeptState, reconcile
from reservd.service.orders import OrderClerk, replenishment_orders, withdrawal_orders
from reservd.service.replenishment import ReplenishmentService
from reservd.service.replenishment.ledger import StoredLedger
from reservd.service.withdrawals import WithdrawalManager
from reservd.service.withdrawals.commitments import WithdrawalCommitments
from reservd.service.withdrawals.journal import HoldJournal
from reservd.store.database import Database
from reservd.store.orders import OrderSubject
from reservd.store.ownership import Ownership
from reservd.web.metrics import Metrics, Series
from reservd.web.page import MetricsPage
from reservd.web.stream import EventStream

log = structlog.get_logger(__name__)

_COLLECT_AFTER = 50_000
"""How many objects are created between two garbage collections. A cycle replaces tens of thousands without need of
one."""
_SWITCH_SECONDS = 0.0005
"""The longest time that another thread may keep the event loop waiting for the interpreter."""


def settle() -> None:
    """Tune the interpreter so that it blocks the event loop as little as possible, after everything is built."""
    gc.unfreeze()  # objects of the last duty may be garbage by now
    gc.collect()
    # What is built now stays: the collector need not visit it again.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)


class Duty:
    """Everything that only the owner of a store does, assembled and ended in order.

    Args:
        config: The configuration.
        metrics: Notified of everything.
        page: Shows the metrics.
        stream: Passes events on to its listeners.
        database: The store.
        ownership: Held by this daemon, unless the store could not be reached from the start.
    """

    def __init__(
        self,
        config: Config,
        metrics: Metrics,
        page: MetricsPage,
        stream: EventStream,
        database: Database,
        ownership: Ownership,
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._ownership = ownership
        routes = {mode: each.reserve_event_sinks for mode, each in config.modes.items()}
        self.pipeline = Pipeline(
            database,
            ownership,
            config.event_sinks,
            config.settings,
            routes,
            SystemClock(),
            [metrics.deliveries, page, stream],
        )
        self.replenishments = ReplenishmentService(
            config.modes,
            config.replenishers,
            [metrics.replenishments, page],
            lambda: self.pipeline.may_act,
            ledger=StoredLedger(database, self.pipeline.journal),
            epoch=lambda: self.pipeline.journal.epoch,
        )
        # Metrics first: a snapshot is published before anything slow happens.
        self.manager = ReserveManager(
            config.equity_sources,
            config.balance_sources,
            price_sources=config.price_sources,
            observers=[metrics, self.pipeline, self.replenishments, page],
        )
        self.manager.replenishment = self.replenishments
        for mode, mode_config in config.modes.items():
            self.manager.set_reserve_config(mode, mode_config)
        self._holds = HoldJournal(database, ownership, SystemClock(), config.modes)
        self.withdrawals = WithdrawalManager(
            self.manager, self._holds, [metrics.withdrawals, page], lambda: self.pipeline.may_act
        )
        self.replenishments.heed(WithdrawalCommitments(self.manager, self._holds))
        obeyed = {
            OrderSubject.REPLENISHMENT: replenishment_orders(self.replenishments),
            OrderSubject.WITHDRAWAL: withdrawal_orders(self.withdrawals),
        }
        self._clerks = [
            OrderClerk(subject, carry_out, database, ownership, lambda: self.pipeline.may_act, SystemClock())
            for subject, carry_out in obeyed.items()
        ]

    @property
    def store_up(self) -> bool:
        """Whether the store accepts writes."""
        return self.pipeline.up

    async def run(self, before: Mapping[str, KeptState]) -> None:
        """Watch until cancelled.

        Args:
            before: The state that was kept in memory while the store was not available.

        Raises:
            OwnershipLostError: If another daemon owns the store, or this one owns it now but did not at first.
            StoreError: If the stored state cannot be read.
        """
        if self._ownership.epoch:
            await self.pipeline.open()
            # Refills first: they decide how far back payouts are counted.
            await self.replenishments.open()
            await self._holds.open()
            kept = dict(self.pipeline.states)
            kept |= {mode: reconcile(kept[mode], state) if mode in kept else state for mode, state in before.items()}
            self.manager.restore(kept)
            self._tell_left_behind(kept)
        else:
            # Higher than any number in a store, because receivers drop events that are older than the last they know.
            self.manager.restore(before, first_sequence=int(time.time()))
        # In one step, so that no page shows modes without their state.
        self._metrics.configure(series_of(self._config))
        self._metrics.watch(owner=True)
        self.manager.begin()
        delivering = asyncio.create_task(self.pipeline.run(), name="delivery")
        monitoring = asyncio.create_task(self.manager.start_monitoring(), name="monitoring")
        work = {delivering, monitoring}
        if self._ownership.epoch:
            work.add(asyncio.create_task(self.withdrawals.run(), name="withdrawals"))
            work.add(asyncio.create_task(self.replenishments.run(), name="replenishments"))
            work |= {asyncio.create_task(clerk.run(), name="orders") for clerk in self._clerks}
        settle()
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _raise_from(task)
        finally:
            # First end what decides, then what requests, then what sends the decisions.
            self.manager.stop_monitoring()
            deciding = work - {delivering}
            for task in deciding - {monitoring}:
                task.cancel()
            await asyncio.gather(*deciding, return_exceptions=True)
            await self.replenishments.close()
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    def _tell_left_behind(self, kept: Mapping[str, KeptState]) -> None:
        """Log the open incidents of modes that are no longer watched: no event will end them."""
        for mode, state in kept.items():
            if mode not in self._config.modes and state.incident_id is not None:
                known = str(state.known) if state.known is not None else None
                log.warning("mode.left_in_incident", mode=mode, incident=state.incident_id, status=known)


def _raise_from(task: asyncio.Task[None]) -> None:
    """Raise the error that ended a part of the duty, if any, with a note that names the part."""
    error = task.exception()
    if error is not None:
        error.add_note(f"this ended what reservd does for {task.get_name()}")
        raise error


def series_of(config: Config) -> Series:
    """Return everything that has metric series of its own."""
    sources: dict[str, Source[Any]] = {**config.balance_sources, **config.equity_sources, **config.price_sources}
    return Series(
        modes={mode: each.share_class for mode, each in config.modes.items()},
        intervals={each.interval_seconds for each in config.modes.values()},
        sources=sources,
        sinks=config.event_sinks,
        replenishers=config.replenishers,
        endpoints=[
            (name, endpoint) for name, source in sources.items() for endpoint in GuardedPlugin(source).endpoints()
        ],
    )
