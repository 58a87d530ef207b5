"""Watches modes and raises events, without files, daemon or web, so that a program can embed it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from reservd.config.mode import ModeConfig
from reservd.errors import ConfigError, ReserveUnknownError
from reservd.monitor.announcer import Announcer
from reservd.monitor.callbacks import TIMEOUT_SECONDS, ReserveCallback
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.cycles.cycle import CyclePlan
from reservd.monitor.cycles.intervals import Cycles
from reservd.monitor.modes import WatchedModes
from reservd.monitor.observer import Observer
from reservd.monitor.watches.checks import Checks, new_id
from reservd.monitor.watches.readings import Readings
from reservd.monitor.watches.runways import Runways
from reservd.monitor.watches.watch import ModeWatch
from reservd.monitor.wiring import Wiring, parse_mode
from reservd.plugin.interfaces import PriceSource
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome, ReplenishmentRequest
from reservd.reserve.scope import scope_of
from reservd.reserve.tracker import Instant

RequestCallback = Callable[[ReplenishmentRequest], Awaitable[None]]


class ReplenishmentDesk(Protocol):
    """Makes requests for refills."""

    @property
    def desk(self) -> Any:
        """The `RefillDesk` to which strategies report on requests."""

    async def request(self, mode: str, amount: Decimal, *, withdrawal_id: str | None = None) -> ReplenishmentOutcome:
        """Ask the mode's strategy for an exact amount, for a withdrawal if one is named; return the outcome."""


class ReserveManager(WatchedModes):
    """Watches the reserves of any number of strategy modes.

    Args:
        equity_calculator: An `EquitySource`, an object with `calculate_equity(share_class)`, or a mapping of names to
            either.
        venue_interfaces: By name, each a `BalanceSource` or an object with `get_balances()`.
        price_sources: By name, for equity sources that build on them.
        observers: Notified of what the monitor does.
        clock: The source of time; the machine's clock unless given.

    Attributes:
        reserve_configs: The configuration of each mode.
        holds: The holds of accepted withdrawals; None when there are none.
        request_callbacks: The callback that takes requests for refills, by mode.
        running: Whether `start_monitoring` runs.
        replenishment: Makes requests for refills; None when they are not made.
    """

    def __init__(
        self,
        equity_calculator: object,
        venue_interfaces: Mapping[str, Any],
        *,
        price_sources: Mapping[str, PriceSource[Any]] | None = None,
        observers: Iterable[Observer] = (),
        clock: Clock | None = None,
    ) -> None:
        heard_by, clock = list(observers), clock or SystemClock()
        wiring = Wiring(equity_calculator, venue_interfaces, price_sources or {}, heard_by, clock)
        runways = Runways(heard_by, new_id)
        super().__init__(clock, heard_by, runways, wiring)
        self._readers = wiring.readers
        self._announcer = Announcer(heard_by, lambda: len(self._watches))
        self._checks = Checks(heard_by, runways, self._explain, lambda: self.holds, self.trigger_reserve_event)
        self._cycles = Cycles(self._readers, self._clock, self._watches, self._checks, runways, heard_by)
        self._stop = asyncio.Event()
        self.request_callbacks: dict[str, RequestCallback] = {}
        self.replenishment: ReplenishmentDesk | None = None
        self.running = False

    @property
    def ready(self) -> bool:
        """Whether monitoring runs and every mode has been checked at least once."""
        return self.running and self._cycles.begun

    @property
    def stuck(self) -> bool:
        """Whether cycles no longer finish."""
        return self._cycles.stuck

    def add_observer(self, observer: Observer) -> None:
        """Add an observer."""
        self._observers.append(observer)

    def add_reserve_callback(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None = None,
        timeout_seconds: float | None = TIMEOUT_SECONDS,
    ) -> None:
        """Call `callback` with every event.

        Args:
            callback: A plain function, which may block, or a coroutine function. Each callback has its own queue and
                deadline, so that a slow or broken one does not affect the others.
            modes: The modes whose events it gets; all when None.
            timeout_seconds: How long one event may take; None when the callback has its own deadline.
        """
        self._announcer.add(callback, modes, timeout_seconds)

    def add_request_callback(self, callback: RequestCallback, modes: Iterable[str]) -> None:
        """Set the callback that takes requests for refills of some modes, for use by `StrategyReplenisher`."""
        self.request_callbacks.update(dict.fromkeys(scope_of(modes) or (), callback))

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Return whether a mode's refills are requested. If so, its strategy acts on requests instead of events."""
        return self.replenishment is not None and self.reserve_configs[strategy_mode].reserve_replenisher is not None

    @property
    def desk(self) -> Any:
        """The `RefillDesk` to which strategies report on requests; None when requests are not made."""
        return None if self.replenishment is None else self.replenishment.desk

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any] | ModeConfig) -> None:
        """Watch a mode, or replace its configuration.

        Args:
            strategy_mode: The mode.
            config: The strategy's own configuration. `share_class` and the `reserve_*` keys are read, all others are
                ignored. Sources may be left out if there is only one.

        Raises:
            ConfigError: If a key is unknown, missing or wrong, a source does not exist, or modes that share an account
                disagree on how to split it.
        """
        parsed = parse_mode(strategy_mode, config)
        watch = self._wiring.watch(parsed, self._clock.now().monotonic)
        self._watch(strategy_mode, watch)
        self.reserve_configs[strategy_mode] = parsed
        self._cycles.renew()
        if self.holds is not None:
            self.holds.regroup()
        if self.running:
            self._cycles.add(parsed.interval_seconds)

    async def start_monitoring(self) -> None:
        """Check every mode at once and then at its interval, until `stop_monitoring`.

        Returns once running checks and queued callbacks have ended, at most a few seconds after that.
        """
        if self.running:
            raise RuntimeError("monitoring is already running")
        self._stop.clear()
        self.running = True
        self.begin()
        try:
            self._cycles.start()
            await self._stop.wait()
        finally:
            self.running = False
            self._begun.clear()
            await self._cycles.stop()
            await self.close()

    def stop_monitoring(self) -> None:
        """End `start_monitoring`."""
        self._stop.set()

    async def close(self) -> None:
        """Deliver what is queued for callbacks, then close every source. For use without `start_monitoring`."""
        await self._announcer.close()
        await asyncio.gather(*(reader.close() for by_name in self._readers for reader in by_name.values()))

    async def check_all_reserves(self) -> Mapping[str, ReserveSnapshot]:
        """Check every mode once, now, and return the latest snapshots."""
        await self._cycles.check_all()
        return {mode: watch.latest for mode, watch in self._watches.items() if watch.latest is not None}

    async def check_reserves(self, strategy_modes: Iterable[str]) -> Mapping[str, ReserveSnapshot]:
        """Check some modes once, now, with all that share their accounts; return the latest snapshots of the former."""
        watches = [self._watches[mode] for mode in strategy_modes]
        await CyclePlan(watches, self._checks.defects).run(self._readers, self._clock, self._checks.check)
        return {watch.mode: watch.latest for watch in watches if watch.latest is not None}

    async def calculate_reserve_snapshot(
        self, strategy_mode: str, config: Mapping[str, Any] | ModeConfig | None = None
    ) -> ReserveSnapshot:
        """Read a mode's sources now and return a snapshot. Changes no state and raises no event.

        Raises:
            ConfigError: If the mode is not configured and no configuration is given.
        """
        known = self.reserve_configs.get(strategy_mode)
        if config is None and known is None:
            raise ConfigError(f"mode '{strategy_mode}' is not configured")
        parsed = known if config is None or config is known else parse_mode(strategy_mode, config)
        assert parsed is not None  # noqa: S101  # one of the two is set
        watch = self._wiring.watch(parsed, self._clock.now().monotonic)
        watch.share(self._sharers.group_of(watch))
        found: list[ReserveSnapshot] = []

        async def take(watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
            # Modes that share accounts with this one are read, too.
            found.extend(one.observe(readings, self.holds) for one in watches if one is watch)
            return ()

        await CyclePlan([watch], self._checks.defects).run(self._readers, self._clock, take)
        return found[0]

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Read and return what a mode can pay out now, in whole units of its share class.

        Args:
            strategy_mode: The mode, or a share class that only one mode has.

        Raises:
            ConfigError: If there is no such mode.
            ReserveUnknownError: If not all of its accounts could be read.
        """
        if strategy_mode not in self.reserve_configs:
            modes = [mode for mode, config in self.reserve_configs.items() if config.share_class == strategy_mode]
            strategy_mode = modes[0] if len(modes) == 1 else strategy_mode
        snapshot = await self.calculate_reserve_snapshot(strategy_mode)
        if snapshot.reserve_balance is None:
            raise ReserveUnknownError(f"the reserve of '{strategy_mode}' is unknown: {'; '.join(snapshot.missing)}")
        return snapshot.reserve_balance

    async def process_reserve_snapshot(self, snapshot: ReserveSnapshot) -> None:
        """Update the mode's state with a snapshot, and raise the event that results, if any."""
        watch = self._watches[snapshot.strategy_mode]
        step = self._checks.advance(watch, snapshot, Instant(snapshot.timestamp, self._clock.now().monotonic))
        watch.rouse()
        if step.event is not None:
            await self.trigger_reserve_event(step.event)

    async def trigger_reserve_event(self, event: ReserveEvent) -> None:
        """Queue an event for every callback that covers its mode, without waiting for any."""
        self._announcer.announce(event)

    async def request_reserve_replenishment(self, strategy_mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Ask a mode's strategy to refill its reserve by an amount.

        Returns:
            A true outcome with the request and its answer; or a false one with the reason.
        """
        if strategy_mode not in self.reserve_configs or self.replenishment is None:
            return ReplenishmentOutcome(None, None, Inaction.NO_REPLENISHER)
        return await self.replenishment.request(strategy_mode, amount)
