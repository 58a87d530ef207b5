"""The heart that can be embedded: modes in, status and events out, without files, daemon or web."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from reservd.config.mode import ModeConfig
from reservd.errors import ConfigError, ReserveUnknownError
from reservd.monitor.announcer import Announcer
from reservd.monitor.callbacks import TIMEOUT_SECONDS, ReserveCallback
from reservd.monitor.checks import Checks, new_id
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.cycle import CyclePlan
from reservd.monitor.cycles import Cycles
from reservd.monitor.modes import WatchedModes
from reservd.monitor.observer import Observer
from reservd.monitor.readings import Readings
from reservd.monitor.runways import Runways
from reservd.monitor.watch import ModeWatch
from reservd.monitor.wiring import Wiring, parse_mode
from reservd.plugin.interfaces import PriceSource
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome, ReplenishmentRequest
from reservd.reserve.tracker import Instant

RequestCallback = Callable[[ReplenishmentRequest], Awaitable[None]]


class ReplenishmentDesk(Protocol):
    """Where requests for a refill go."""

    @property
    def desk(self) -> Any:
        """Where strategies say what became of requests: a `RefillDesk`."""

    async def request(self, mode: str, amount: Decimal, *, withdrawal_id: str | None = None) -> ReplenishmentOutcome:
        """Ask the mode's strategy for so much, for a withdrawal when that is named; return what came of it."""


class ReserveManager(WatchedModes):
    """Watches the reserves of any number of strategy modes.

    Args:
        equity_calculator: An `EquitySource`, an object with `calculate_equity(share_class)`, or
            a mapping of names to such.
        venue_interfaces: By name, each a `BalanceSource` or an object with `get_balances()`.
        price_sources: By name, for equity sources that build on them.
        observers: Who hears what the monitor does.
        clock: Tells the time; the machine's unless given.

    Attributes:
        reserve_configs: The configuration of each mode.
        holds: What is promised to accepted withdrawals; None when there are none.
        request_callbacks: Who takes the requests of a mode.
        running: Whether `start_monitoring` runs.
        replenishment: Where requests for a refill go; None when nobody takes them.
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
        """Whether every mode was checked at least once."""
        return self.running and self._cycles.begun

    @property
    def stuck(self) -> bool:
        """Whether cycles no longer come to their end."""
        return self._cycles.stuck

    def add_observer(self, observer: Observer) -> None:
        """Tell one more what the monitor does."""
        self._observers.append(observer)

    def add_reserve_callback(
        self,
        callback: ReserveCallback,
        modes: Iterable[str] | None = None,
        timeout_seconds: float | None = TIMEOUT_SECONDS,
    ) -> None:
        """Call `callback` with every event.

        Args:
            callback: A plain function, which may block, or a coroutine function. Each callback has
                its own queue and deadline: a slow or broken one harms no other.
            modes: Only events of these modes; all when None.
            timeout_seconds: How long one event may take; None when the callback has its own deadline.
        """
        self._announcer.add(callback, modes, timeout_seconds)

    def add_request_callback(self, callback: RequestCallback, modes: Iterable[str]) -> None:
        """Name who takes requests for refills of some modes, where a `StrategyReplenisher` makes them."""
        self.request_callbacks.update(dict.fromkeys(modes, callback))

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Whether requests for a mode's refills are made: then its strategy acts on those, and not on events."""
        return self.replenishment is not None and self.reserve_configs[strategy_mode].reserve_replenisher is not None

    @property
    def desk(self) -> Any:
        """Where strategies say what became of requests; None when nobody takes any."""
        return None if self.replenishment is None else self.replenishment.desk

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any] | ModeConfig) -> None:
        """Watch a mode, or change how it is watched.

        Args:
            strategy_mode: The mode.
            config: The strategy's own configuration: `share_class` and the `reserve_*` keys are
                read, all others ignored. Sources may be left out where there is only one.

        Raises:
            ConfigError: If a key is unknown, missing or wrong, a source is not there, or modes
                that count the same account do not agree how it is split.
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
        """Check every mode at once and then each at its interval, until `stop_monitoring`.

        Returns once running checks and queued callbacks have ended, at most a few seconds later.
        """
        if self.running:
            raise RuntimeError("monitoring runs already")
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
        """Hand on what is queued for callbacks, then close every source. For use without `start_monitoring`."""
        await self._announcer.close()
        await asyncio.gather(*(reader.close() for by_name in self._readers for reader in by_name.values()))

    async def check_all_reserves(self) -> Mapping[str, ReserveSnapshot]:
        """Check every mode once, now, and return what was found."""
        await self._cycles.check_all()
        return {mode: watch.latest for mode, watch in self._watches.items() if watch.latest is not None}

    async def check_reserves(self, strategy_modes: Iterable[str]) -> Mapping[str, ReserveSnapshot]:
        """Check some modes once, now, with all that share accounts with them, and return what was found for them."""
        watches = [self._watches[mode] for mode in strategy_modes]
        await CyclePlan(watches, self._checks.defects).run(self._readers, self._clock, self._checks.check)
        return {watch.mode: watch.latest for watch in watches if watch.latest is not None}

    async def calculate_reserve_snapshot(
        self, strategy_mode: str, config: Mapping[str, Any] | ModeConfig | None = None
    ) -> ReserveSnapshot:
        """Read a mode's sources now and return what they say. Changes nothing and says nothing.

        Raises:
            ConfigError: If the mode is not configured and no configuration is given.
        """
        known = self.reserve_configs.get(strategy_mode)
        if config is None and known is None:
            raise ConfigError(f"mode '{strategy_mode}' is not configured")
        parsed = known if config is None or config is known else parse_mode(strategy_mode, config)
        assert parsed is not None  # noqa: S101  # one of the two is there
        watch = self._wiring.watch(parsed, self._clock.now().monotonic)
        watch.share(self._sharers.group_of(watch))
        found: list[ReserveSnapshot] = []

        async def take(watches: Sequence[ModeWatch], readings: Readings) -> Sequence[ModeWatch]:
            # Of those that share accounts with it, all are read.
            found.extend(one.observe(readings, self.holds) for one in watches if one is watch)
            return ()

        await CyclePlan([watch], self._checks.defects).run(self._readers, self._clock, take)
        return found[0]

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Read and return what a mode can pay out now, in whole units of its share class.

        Args:
            strategy_mode: The mode; or a share class, where only one mode has it.

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
        """Take a snapshot into the mode's memory and raise the event it leads to, if any."""
        watch = self._watches[snapshot.strategy_mode]
        step = self._checks.advance(watch, snapshot, Instant(snapshot.timestamp, self._clock.now().monotonic))
        watch.rouse()
        if step.event is not None:
            await self.trigger_reserve_event(step.event)

    async def trigger_reserve_event(self, event: ReserveEvent) -> None:
        """Queue an event for every callback that hears of its mode. Waits for none."""
        self._announcer.announce(event)

    async def request_reserve_replenishment(self, strategy_mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Ask a mode's strategy to refill its reserve by an amount.

        Returns:
            The request and its answer, true when it was made; or the reason why it was not, false.
        """
        if strategy_mode not in self.reserve_configs or self.replenishment is None:
            return ReplenishmentOutcome(None, None, Inaction.NO_REPLENISHER)
        return await self.replenishment.request(strategy_mode, amount)
