"""The daemon: the one place where all is put together, started and stopped."""

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from reservd._version import __version__
from reservd.config.load import Config
from reservd.delivery.pipeline import Pipeline
from reservd.errors import OwnershipLostError, SchemaError, StoreError
from reservd.monitor.clock import SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.reserve.kept import KeptState, reconcile
from reservd.service.hold_journal import HoldJournal
from reservd.service.refill_commitments import WithdrawalCommitments
from reservd.service.refill_ledger import StoredLedger
from reservd.service.replenishment import ReplenishmentService
from reservd.service.withdrawals import WithdrawalManager
from reservd.store.access import open_database
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from reservd.systemd import notify, watchdog_seconds
from reservd.web.access.control import AccessControl
from reservd.web.access.tokens import TokenBook
from reservd.web.access.users import UserBook
from reservd.web.backend import Backend, Readiness
from reservd.web.metrics import Metrics
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site
from reservd.web.stream import EventStream
from reservd.web.web_config import TlsFiles, WebConfig, read_web_config

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_COLLECT_AFTER = 50_000
"""Objects that come to be before the collector looks. A cycle replaces tens of thousands, which go without it."""
_SWITCH_SECONDS = 0.001
"""How long another thread may keep the event loop waiting for the interpreter."""


def settle() -> None:
    """Make the interpreter hold the event loop as little as it can, once everything is built."""
    gc.collect()
    # What was built stays: the collector need not look at it again.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)


class _Duty:
    """What a daemon does while it owns the store: watch, announce, ask for refills.

    Args:
        config: What was configured.
        metrics: Hears of everything.
        page: Shows it.
        stream: Hands events on to whoever listens.
        database: The store.
        ownership: Held by this daemon; not, when the store could not be reached from the start.
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
        self._ownership = ownership
        routes = {mode: each.reserve_event_sinks for mode, each in config.modes.items()}
        self.pipeline = Pipeline(
            database, ownership, config.event_sinks, config.settings, routes, SystemClock(), [metrics, page, stream]
        )
        self.replenishments = ReplenishmentService(
            config.modes,
            config.replenishers,
            [metrics, metrics.replenishments, page],
            lambda: self.pipeline.may_act,
            ledger=StoredLedger(database, ownership, self.pipeline.journal),
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

    @property
    def store_up(self) -> bool:
        """Whether the store takes what is written."""
        return self.pipeline.up

    async def run(self, before: Mapping[str, KeptState]) -> None:
        """Watch until cancelled.

        Args:
            before: What was kept in memory while the store was not there.

        Raises:
            OwnershipLostError: If another daemon owns the store, or this one does after it did not at first.
            StoreError: If the store does not tell what is kept.
        """
        if self._ownership.epoch:
            await self.pipeline.open()
            await self._holds.open()
            await self.replenishments.open()
            kept = dict(self.pipeline.states)
            kept |= {mode: reconcile(kept[mode], state) if mode in kept else state for mode, state in before.items()}
            self.manager.restore(kept)
        else:
            # Above all that a store may hold: receivers drop what is older than what they know.
            self.manager.restore(before, first_sequence=int(time.time()))
        delivering = asyncio.create_task(self.pipeline.run())
        monitoring = asyncio.create_task(self.manager.start_monitoring())
        work = {delivering, monitoring}
        if self._ownership.epoch:
            work.add(asyncio.create_task(self.withdrawals.run()))
            work.add(asyncio.create_task(self.replenishments.run()))
        settle()
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # First what decides, then what asks, then what sends what was decided.
            self.manager.stop_monitoring()
            deciding = work - {delivering}
            for task in deciding - {monitoring}:
                task.cancel()
            await asyncio.gather(*deciding, return_exceptions=True)
            await self.replenishments.close()
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)


class Daemon:
    """All parts of one running reservd.

    Args:
        config: What was configured.
        listen_addresses: Where to serve, in place of what was configured.
        web_config_file: TLS and passwords, as Prometheus exporters spell them; None for neither.

    Raises:
        ReservdError: If an address, the tokens, the web config file or the store's driver cannot be had.
    """

    def __init__(
        self, config: Config, listen_addresses: Iterable[str] = (), web_config_file: Path | None = None
    ) -> None:
        self._config = config
        self._database = open_database(config.settings.store.url.get_secret_value(), config.directory)
        self._ownership = Ownership(self._database)
        self._metrics = Metrics(
            {mode: each.share_class for mode, each in config.modes.items()},
            {each.interval_seconds for each in config.modes.values()},
            (*config.balance_sources, *config.equity_sources, *config.price_sources),
            config.event_sinks,
            config.replenishers,
        )
        self._metrics.watch(owner=False)
        self._page = MetricsPage(self._metrics.take, self._metrics.render)
        self._duty: _Duty | None = None
        self._stream = EventStream(self._database)
        web = config.settings.web
        tokens = TokenBook(web.tokens_file) if web.tokens_file is not None else None
        shell = read_web_config(web_config_file) if web_config_file is not None else WebConfig()
        users = UserBook(shell.users) if shell.users else None
        backend = Backend(
            page=self._page,
            healthy=lambda: not self._stuck,
            readiness=lambda: self.readiness,
            duty=lambda: self._duty,
            database=self._database,
            stream=self._stream,
            access=AccessControl(tokens, users, open_reads=web.open_reads),
            headers=shell.headers,
        )
        tls = TlsFiles(shell.tls_server_config) if shell.tls_server_config is not None else None
        self._web = WebServer(make_site(backend), listen_addresses or web.listen_address, tls)
        self._stop = asyncio.Event()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return self._web.addresses

    @property
    def urls(self) -> list[str]:
        """Where people find its pages."""
        return [f"{self._web.scheme}://{address}" for address in self.addresses]

    @property
    def manager(self) -> ReserveManager | None:
        """What watches the modes; None while another daemon does."""
        return self._duty.manager if self._duty is not None else None

    @property
    def withdrawals(self) -> WithdrawalManager | None:
        """What decides withdrawals; None while another daemon does: then nothing can be promised here."""
        return self._duty.withdrawals if self._duty is not None else None

    @property
    def readiness(self) -> Readiness:
        """Whether it does all that it is there for."""
        if self._duty is None and self._ownership.waits:
            return Readiness(ready=True, text="reservd stands by: another daemon owns the store")
        if self._duty is None:
            return Readiness(ready=False, text="the store was not reached yet")
        if not self._duty.manager.ready:
            return Readiness(ready=False, text="the first cycle is not done")
        if not self._duty.pipeline.up:
            return Readiness(ready=False, text="the store is gone: alarms go on from memory, refills do not")
        return Readiness(ready=True, text="reservd is ready and owns the store")

    @property
    def _stuck(self) -> bool:
        return self._duty is not None and self._duty.manager.stuck

    def stop(self) -> None:
        """Ask it to stop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; then end what is under way, within seconds.

        Raises:
            SchemaError: If a newer reservd wrote the store.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        log.info("daemon.started", version=__version__, modes=len(self._config.modes), store=self._database.description)
        await self._page.start()
        await self._web.start()
        serving = asyncio.create_task(self._serve())
        watchdog = asyncio.create_task(self._watchdog())
        notify("READY=1")
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        log.info("daemon.stopping")
        for task in (stopping, watchdog, serving):
            task.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            await asyncio.gather(self._page.close(), self._web.close(), self._ownership.release())
            await self._database.close()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        log.info("daemon.stopped")

    async def _serve(self) -> None:
        """Stand by until the store can be had, then do the duty; again when another daemon takes it."""
        before: dict[str, KeptState] = {}
        while True:
            try:
                await self._ownership.acquire()
            except SchemaError:
                raise
            except StoreError as error:
                log.error("store.gone", error=str(error))  # noqa: TRY400  # the store's words say it all
            blind = not self._ownership.epoch
            self._duty = duty = _Duty(
                self._config, self._metrics, self._page, self._stream, self._database, self._ownership
            )
            self._metrics.watch(owner=True)
            try:
                await duty.run(before)
            except OwnershipLostError as error:
                log.warning("ownership.ended", reason=str(error))
            except StoreError as error:
                log.error("store.failed", error=str(error))  # noqa: TRY400  # the store's words say it all
                self._ownership.forget()
            finally:
                before = duty.manager.kept_states() if blind else {}
                self._duty = None
                self._stream.close()
                self._metrics.watch(owner=False)
                self._page.renew()

    async def _watchdog(self) -> None:
        """Tell systemd that the loop turns and cycles come to their end."""
        every = watchdog_seconds()
        if every is None:
            return
        while True:
            if not self._stuck:
                notify("WATCHDOG=1")
            await asyncio.sleep(every)
