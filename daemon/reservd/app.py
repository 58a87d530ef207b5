"""The daemon: puts all parts together, starts them and stops them."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from reservd._version import __version__
from reservd.config.load import Config
from reservd.config.reload import reload_config, why_refused
from reservd.duty import Duty, series_of
from reservd.errors import StoreError
from reservd.log import configure_logging
from reservd.loop_watch import LoopWatch
from reservd.monitor.manager import ReserveManager
from reservd.service.withdrawals import WithdrawalManager
from reservd.store.access import open_database
from reservd.store.ownership import Ownership
from reservd.supervisor import Supervisor
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
_RELOADS = 2
"""One that runs, and one that waits for it."""


class Daemon:
    """All parts of one running reservd.

    Args:
        config: The configuration.
        listen_addresses: Where to serve, overriding the configuration.
        web_config_file: TLS and passwords, in the format of Prometheus exporters; None for neither.
        load: Reads the configuration again, for a reload; None if there is no file.

    Raises:
        ReservdError: If an address, the tokens, the web config file or the store's driver is unusable.
    """

    def __init__(
        self,
        config: Config,
        listen_addresses: Iterable[str] = (),
        web_config_file: Path | None = None,
        load: Callable[[], Config] | None = None,
    ) -> None:
        self._load = load
        self._loading = asyncio.Lock()
        self._database = open_database(config.settings.store.url.get_secret_value(), config.directory)
        self._ownership = Ownership(self._database)
        self._metrics = Metrics(series_of(config))
        self._metrics.watch(owner=False)
        self._page = MetricsPage(self._metrics.take, self._metrics.render)
        self._stream = EventStream(self._database)
        self._supervisor = Supervisor(config, self._make_duty, self._ownership, self._stand_by)
        web = config.settings.web
        tokens = TokenBook(web.tokens_file) if web.tokens_file is not None else None
        shell = read_web_config(web_config_file) if web_config_file is not None else WebConfig()
        users = UserBook(shell.users) if shell.users else None
        backend = Backend(
            page=self._page,
            healthy=lambda: not self._stuck,
            readiness=lambda: self.readiness,
            reload=self.reload,
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
        """The addresses that it listens on."""
        return self._web.addresses

    @property
    def urls(self) -> list[str]:
        """The URLs of its pages."""
        return [f"{self._web.scheme}://{address}" for address in self.addresses]

    @property
    def manager(self) -> ReserveManager | None:
        """The manager that watches the modes; None while another daemon does."""
        return self._duty.manager if self._duty is not None else None

    @property
    def withdrawals(self) -> WithdrawalManager | None:
        """The manager of withdrawals; None while another daemon decides them, so that nothing can be promised here."""
        return self._duty.withdrawals if self._duty is not None else None

    @property
    def readiness(self) -> Readiness:
        """Whether it does everything that it should, and why not."""
        if self._duty is None and self._ownership.waits:
            return Readiness(ready=True, text="reservd stands by: another daemon owns the store")
        if self._duty is None:
            return Readiness(
                ready=False, text="this daemon does not own the store yet, and no other daemon appears to own it"
            )
        if not self._duty.manager.ready:
            return Readiness(ready=False, text="the first monitoring cycle has not finished")
        if not self._duty.pipeline.up:
            return Readiness(ready=False, text="the store is gone: alarms continue from memory, refills are paused")
        return Readiness(ready=True, text="reservd is ready and owns the store")

    @property
    def _duty(self) -> Duty | None:
        return self._supervisor.duty

    @property
    def _stuck(self) -> bool:
        return self._duty is not None and self._duty.manager.stuck

    def stop(self) -> None:
        """Stop the daemon. Returns at once."""
        self._stop.set()

    async def reload(self) -> None:
        """Load the configuration from its files again: modes, sources, sinks, replenishers and logging.

        Statuses, incidents, holds and requests are kept; running work is ended in order.

        Raises:
            ConfigError: If it is invalid, or changes a setting that is fixed at the start. Nothing changes then.
            StoreError: If decisions are in memory alone, which must not be lost.
        """
        async with self._loading:
            try:
                config = await self._read_anew()
                duty = self._make_duty(config)  # before the running one ends: a defect here must end nothing
            except Exception as error:  # a defect, too, must not look like a successful reload
                self._metrics.reloaded(successful=False)
                self._page.renew()
                log.error("config.refused", problems=why_refused(error))  # noqa: TRY400  # the problems say everything
                raise
            notify("RELOADING=1")
            self._metrics.reloaded(successful=True)
            self._page.renew()
            configure_logging(config.settings.log.level, config.settings.log.format)
            for warning in config.warnings:
                log.warning("config.warned", warning=warning)
            await self._supervisor.take_up(config, duty)
            notify("READY=1")
            log.info("config.reloaded", modes=len(config.modes))

    async def _read_anew(self) -> Config:
        if self._duty is not None and not self._duty.store_up:
            raise StoreError("the store is gone: decisions made since then are only in memory")
        return await reload_config(self._load, self._supervisor.config)

    def _make_duty(self, config: Config) -> Duty:
        return Duty(config, self._metrics, self._page, self._stream, self._database, self._ownership)

    def _stand_by(self) -> None:
        """Stop showing the modes: another daemon does."""
        self._stream.close()
        self._metrics.watch(owner=False)
        self._page.renew()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; then end running work within seconds.

        Raises:
            SchemaError: If a newer reservd wrote the store.
        """
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon, reloads)
        log.info(
            "daemon.started",
            version=__version__,
            modes=len(self._supervisor.config.modes),
            store=self._database.description,
        )
        await self._page.start()
        await self._web.start()
        serving = asyncio.create_task(self._supervisor.run())
        watchdog = asyncio.create_task(self._watchdog())
        notify("READY=1")
        stopping = asyncio.create_task(self._stop.wait())
        with LoopWatch():
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        log.info("daemon.stopping")
        for task in (stopping, watchdog, serving, *reloads):
            task.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await serving
        finally:
            await asyncio.gather(self._page.close(), self._web.close(), self._ownership.release())
            await self._database.close()
            for number in (*_SIGNALS, signal.SIGHUP):
                loop.remove_signal_handler(number)
        log.info("daemon.stopped")

    def _reload_soon(self, reloads: set[asyncio.Task[None]]) -> None:
        """Reload; if a reload is running, once more after it, so that the files are read as they are then."""
        if len(reloads) < _RELOADS:
            reload = asyncio.create_task(self._reload())
            reloads.add(reload)
            reload.add_done_callback(reloads.discard)

    async def _reload(self) -> None:
        with contextlib.suppress(Exception):  # logged already
            await self.reload()

    async def _watchdog(self) -> None:
        """Notify systemd while the event loop runs and cycles finish."""
        every = watchdog_seconds()
        if every is None:
            return
        while True:
            if not self._stuck:
                notify("WATCHDOG=1")
            await asyncio.sleep(every)
