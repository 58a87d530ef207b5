"""The daemon: the one place where all is put together, started and stopped."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Iterable

import structlog

from reservd._version import __version__
from reservd.config.load import Config
from reservd.delivery.sinks import SinkDelivery
from reservd.monitor.manager import ReserveManager
from reservd.service.replenishment import ReplenishmentService
from reservd.systemd import notify, watchdog_seconds
from reservd.web.metrics import Metrics
from reservd.web.page import MetricsPage
from reservd.web.server import WebServer
from reservd.web.site import make_site

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


class Daemon:
    """All parts of one running reservd.

    Args:
        config: What was configured.
        listen_addresses: Where to serve, in place of what was configured.

    Raises:
        ReservdError: If an address cannot be had.
    """

    def __init__(self, config: Config, listen_addresses: Iterable[str] = ()) -> None:
        self._metrics = Metrics(
            {mode: each.share_class for mode, each in config.modes.items()},
            {each.interval_seconds for each in config.modes.values()},
            (*config.balance_sources, *config.equity_sources),
            config.event_sinks,
            config.replenishers,
        )
        self._page = MetricsPage(self._metrics.take, self._metrics.render)
        self._refills = ReplenishmentService(config.modes, config.replenishers, [self._metrics, self._page])
        # Metrics first: a snapshot is published before anything slow happens.
        self.manager = ReserveManager(
            config.equity_sources, config.balance_sources, observers=[self._metrics, self._refills, self._page]
        )
        self.manager.replenishment = self._refills
        for mode, mode_config in config.modes.items():
            self.manager.set_reserve_config(mode, mode_config)
        self._sinks = [SinkDelivery(sink, [self._metrics, self._page]) for sink in config.event_sinks.values()]
        for sink in self._sinks:
            modes = [mode for mode, each in config.modes.items() if sink.name in each.reserve_event_sinks]
            self.manager.add_reserve_callback(sink, modes, timeout_seconds=None)
        site = make_site(self._page, healthy=lambda: not self.manager.stuck, ready=lambda: self.manager.ready)
        self._web = WebServer(site, listen_addresses or config.settings.web.listen_address)
        self._stop = asyncio.Event()

    @property
    def addresses(self) -> list[str]:
        """Where it listens."""
        return self._web.addresses

    def stop(self) -> None:
        """Ask it to stop."""
        self._stop.set()

    async def run(self) -> None:
        """Run until SIGTERM, SIGINT or `stop`; then end what is under way, within seconds."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self.stop)
        log.info("daemon.started", version=__version__, modes=len(self.manager.reserve_configs))
        await self._page.start()
        await self._web.start()
        monitoring = asyncio.create_task(self.manager.start_monitoring())
        watchdog = asyncio.create_task(self._watchdog())
        settle()
        notify("READY=1")
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, monitoring}, return_when=asyncio.FIRST_COMPLETED)
        notify("STOPPING=1")
        log.info("daemon.stopping")
        stopping.cancel()
        watchdog.cancel()
        self.manager.stop_monitoring()
        try:
            await monitoring
        finally:
            await self._close()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)
        log.info("daemon.stopped")

    async def _close(self) -> None:
        # Together with what the monitor waited for, all of this ends within five seconds.
        await asyncio.gather(
            self._refills.close(), self._page.close(), self._web.close(), *(sink.close() for sink in self._sinks)
        )

    async def _watchdog(self) -> None:
        """Tell systemd that the loop turns and cycles come to their end."""
        every = watchdog_seconds()
        if every is None:
            return
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                if not self.manager.stuck:
                    notify("WATCHDOG=1")
                await asyncio.sleep(every)
