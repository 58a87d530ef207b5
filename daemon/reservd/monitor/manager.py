"""The heart that can be embedded: modes in, status and events out, without files, daemon or web."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import structlog

from reservd.config.mode import ModeConfig
from reservd.errors import ConfigError, ReserveUnknownError
from reservd.monitor.callbacks import TIMEOUT_SECONDS, CallbackQueue, ReserveCallback
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.cycle import PATIENCE, CyclePlan
from reservd.monitor.explain import explain
from reservd.monitor.observer import Checked, Observer
from reservd.monitor.runways import Runways
from reservd.monitor.schedule import CycleSchedule
from reservd.monitor.sharers import Sharers
from reservd.monitor.wake import WakeUps
from reservd.monitor.watch import Holds, ModeWatch, Readings, Standing
from reservd.monitor.wiring import Wiring, parse_mode
from reservd.plugin.interfaces import PriceSource
from reservd.reserve.explanation import Explanation
from reservd.reserve.holds import GroupReading
from reservd.reserve.kept import KeptState, keep, recall
from reservd.reserve.models import ReserveEvent, ReserveSnapshot, ReserveStatus
from reservd.reserve.replenishment import Inaction, ReplenishmentOutcome, ReplenishmentRequest
from reservd.reserve.runway import Runway
from reservd.reserve.tracker import Instant, Step, TrackerState

log = structlog.get_logger(__name__)

RequestCallback = Callable[[ReplenishmentRequest], Awaitable[None]]

_DRAIN_SECONDS = 1.0


class ReplenishmentDesk(Protocol):
    """Where requests for a refill go."""

    @property
    def desk(self) -> Any:
        """Where strategies say what became of requests: a `RefillDesk`."""

    async def request(self, mode: str, amount: Decimal, *, withdrawal_id: str | None = None) -> ReplenishmentOutcome:
        """Ask the mode's strategy for so much, for a withdrawal when that is named; return what came of it."""


class ReserveManager:
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
        request_callbacks: Who takes the requests of a mode.
        running: Whether `start_monitoring` runs.
        replenishment: Where requests for a refill go; None when nobody takes them.
        holds: What is promised to accepted withdrawals; None when there are none.
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
        self._observers = list(observers)
        self._wiring = Wiring(equity_calculator, venue_interfaces, price_sources or {}, self._observers)
        self._readers = self._wiring.readers
        self._clock = clock or SystemClock()
        self._watches: dict[str, ModeWatch] = {}
        self._plans: dict[float, CyclePlan] = {}
        self._sharers = Sharers()
        self._callbacks: list[CallbackQueue] = []
        self._last_changes: dict[str, int] = {}
        self._schedule = CycleSchedule(self._run_cycle, self._overran)
        self._wakeups = WakeUps(self._readers, self._clock, self._watches.values, self._check_batch, self._woken)
        self._runways = Runways(self._observers, _new_id)
        self._first_cycles: set[float] = set()
        self._stop = asyncio.Event()
        self._kept: dict[str, KeptState] = {}
        self._first_sequence = 0
        self._begun: set[str] = set()
        self.reserve_configs: dict[str, ModeConfig] = {}
        self.request_callbacks: dict[str, RequestCallback] = {}
        self.replenishment: ReplenishmentDesk | None = None
        self.holds: Holds | None = None
        self.running = False

    @property
    def ready(self) -> bool:
        """Whether every mode was checked at least once."""
        return self.running and not self._first_cycles

    @property
    def stuck(self) -> bool:
        """Whether cycles no longer come to their end."""
        return self._schedule.stuck

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
        queue = CallbackQueue(
            callback, modes, self._observers, self._superseded, lambda: len(self._watches), timeout_seconds
        )
        self._callbacks.append(queue)

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
        disagreements = self._sharers.disagreements(watch)
        if disagreements:
            raise ConfigError([f"{mode}: {option}: {message}" for mode, option, message in disagreements])
        before = self._watches.get(strategy_mode)
        if before is not None:
            watch.inherit(before)
            before.replaced = True
        self._sharers.replace(before, watch)
        self._watches[strategy_mode] = watch
        self.reserve_configs[strategy_mode] = parsed
        self._plans.clear()
        self._wakeups.renew()
        self._runways.forget(strategy_mode)
        if self.holds is not None:
            self.holds.regroup()
        if self.running:
            self._schedule.add(parsed.interval_seconds)

    def restore(self, states: Mapping[str, KeptState], first_sequence: int = 0) -> None:
        """Take what was kept of modes, before `start_monitoring`.

        Args:
            states: By mode. Modes without one begin anew.
            first_sequence: Events of those are counted from here.
        """
        self._kept = dict(states)
        self._first_sequence = first_sequence

    def kept_states(self) -> dict[str, KeptState]:
        """Return what is to be kept of each mode now."""
        now = self._clock.now()
        return {mode: keep(watch.state, now) for mode, watch in self._watches.items()}

    def kept_state(self, strategy_mode: str) -> KeptState:
        """Return what is to be kept of one mode now: what is confirmed, and its incident."""
        return keep(self._watches[strategy_mode].state, self._clock.now())

    def begin(self) -> None:
        """Begin with what was kept of the modes, each once; `start_monitoring` does so for those that have not."""
        now = self._clock.now()
        for mode, watch in self._watches.items():
            if watch.latest is None and mode not in self._begun:
                self._begun.add(mode)
                kept = self._kept.pop(mode, None)
                # Without memory, staleness counts from when watching begins.
                fresh = TrackerState(now.monotonic, sequence=self._first_sequence)
                state = fresh if kept is None else recall(kept, watch.config.policy, now)
                watch.begin(state)
                for observer in self._observers if kept is not None else ():
                    observer.began(mode, state)

    async def start_monitoring(self) -> None:
        """Check every mode at once and then each at its interval, until `stop_monitoring`.

        Returns once running checks and queued callbacks have ended, at most a few seconds later.
        """
        if self.running:
            raise RuntimeError("monitoring runs already")
        self._stop.clear()
        self.running = True
        self.begin()
        self._plans.clear()
        intervals = {watch.config.interval_seconds for watch in self._watches.values()}
        self._first_cycles = set(intervals)
        try:
            self._schedule.start(sorted(intervals))
            self._wakeups.start()
            await self._stop.wait()
        finally:
            self.running = False
            self._begun.clear()
            await self._wakeups.stop()
            await self._schedule.stop()
            await self.close()

    def stop_monitoring(self) -> None:
        """End `start_monitoring`."""
        self._stop.set()

    async def close(self) -> None:
        """Hand on what is queued for callbacks, then close every source. For use without `start_monitoring`."""
        drains = [asyncio.create_task(callback.drain()) for callback in self._callbacks]
        if drains:
            _, late = await asyncio.wait(drains, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.gather(*(callback.close() for callback in self._callbacks))
        await asyncio.gather(*(reader.close() for by_name in self._readers for reader in by_name.values()))

    async def check_all_reserves(self) -> Mapping[str, ReserveSnapshot]:
        """Check every mode once, now, and return what was found."""
        plans = [self._plan(interval) for interval in {each.interval_seconds for each in self.reserve_configs.values()}]
        await asyncio.gather(*(plan.run(self._readers, self._clock, self._check_batch) for plan in plans))
        return {mode: watch.latest for mode, watch in self._watches.items() if watch.latest is not None}

    async def check_reserves(self, strategy_modes: Iterable[str]) -> Mapping[str, ReserveSnapshot]:
        """Check some modes once, now, with all that share accounts with them, and return what was found for them."""
        watches = [self._watches[mode] for mode in strategy_modes]
        await CyclePlan(watches).run(self._readers, self._clock, self._check_batch)
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

        await CyclePlan([watch]).run(self._readers, self._clock, take)
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
        step = self._advance(watch, snapshot, Instant(snapshot.timestamp, self._clock.now().monotonic))
        watch.rouse()
        if step.event is not None:
            await self.trigger_reserve_event(step.event)

    async def trigger_reserve_event(self, event: ReserveEvent) -> None:
        """Queue an event for every callback that hears of its mode. Waits for none."""
        log.info(
            "event.decided",
            mode=event.strategy_mode,
            type=str(event.event_type),
            id=event.id,
            incident=event.incident_id,
            reminder=event.reminder,
            reason=event.reason,
        )
        if event.is_change:
            self._last_changes[event.strategy_mode] = event.sequence
        for observer in self._observers:
            observer.event_decided(event)
        for callback in self._callbacks:
            callback.put(event)

    async def request_reserve_replenishment(self, strategy_mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Ask a mode's strategy to refill its reserve by an amount.

        Returns:
            The request and its answer, true when it was made; or the reason why it was not, false.
        """
        if strategy_mode not in self.reserve_configs or self.replenishment is None:
            return ReplenishmentOutcome(None, None, Inaction.NO_REPLENISHER)
        return await self.replenishment.request(strategy_mode, amount)

    def status(self, strategy_mode: str) -> ReserveStatus:
        """Return the confirmed status; UNKNOWN before anything was confirmed, and when nothing was for too long."""
        watch = self._watches[strategy_mode]
        age = watch.state.age_at(self._clock.now().monotonic)
        if age > watch.config.policy.max_staleness.total_seconds():
            return ReserveStatus.UNKNOWN
        return watch.state.confirmed or ReserveStatus.UNKNOWN

    def latest_snapshot(self, strategy_mode: str) -> ReserveSnapshot | None:
        """Return what the last check of a mode found; None before the first."""
        return self._watches[strategy_mode].latest

    def runway(self, strategy_mode: str) -> Runway | None:
        """Return how long a mode's reserve lasts; None while it does not fall, or that cannot be told."""
        return self._runways.find(strategy_mode)

    def explain(self, strategy_mode: str) -> Explanation | None:
        """Return what the last check of a mode was made of, and why it says what it does; None before the first."""
        return self._explain(self._watches[strategy_mode])

    def standing(self, strategy_mode: str) -> Standing | None:
        """Return how a mode stands; None before its first check."""
        watch = self._watches[strategy_mode]
        latest = watch.latest
        if latest is None:
            return None
        state = watch.state
        doubted = state.doubted is not None
        return Standing(self.status(strategy_mode), latest, watch.reading, doubted, state.good)

    def believed_reading(self, strategy_mode: str) -> GroupReading | None:
        """Return what a mode's accounts last held for certain, those of all who share them; None when unknown."""
        return self._watches[strategy_mode].believed

    def account_group(self, strategy_mode: str) -> str:
        """Return the name of the accounts that a mode is paid from: the same for all that share some."""
        sharing = self._watches[strategy_mode].sharing
        return strategy_mode if sharing is None else sharing.name

    def account_sharers(self, strategy_mode: str) -> tuple[str, ...]:
        """Return the modes that are paid from the same accounts as a mode, itself included."""
        sharing = self._watches[strategy_mode].sharing
        return (strategy_mode,) if sharing is None else tuple([watch.mode for watch in sharing.watches])

    def others_sharing(self, strategy_mode: str) -> list[ReserveSnapshot]:
        """Return how those who share accounts with a mode stand by what its own last check read, itself left out."""
        watch = self._watches[strategy_mode]
        joint = watch.readings.joint if watch.readings is not None else None
        if watch.sharing is None or joint is None:
            return []
        others = [each for each in watch.sharing.watches if each is not watch]
        return [each.share_of(joint.readings(each), joint, self.holds) for each in others]

    def venues(self, strategy_mode: str) -> frozenset[str]:
        """Return the chains and exchanges of the accounts that a mode is paid from; none when it is not watched."""
        watch = self._watches.get(strategy_mode)
        if watch is None:
            return frozenset()
        sharers = (watch,) if watch.sharing is None else watch.sharing.watches
        return frozenset(holding.key.venue for sharer in sharers for holding in sharer.holdings)

    def look_again(self, strategy_mode: str) -> None:
        """Have the next cycle check a mode, even if it reads nothing new: what is held of it has changed."""
        watch = self._watches.get(strategy_mode)
        if watch is not None:
            watch.look_again()

    async def _run_cycle(self, interval: float) -> None:
        started = time.monotonic()
        # A source that takes longer must not hold up the next cycle, which joins its reading.
        patience = PATIENCE * interval
        with self._wakeups.cycle(interval):
            await self._plan(interval).run(self._readers, self._clock, self._check_batch, patience)
        self._runways.slide(self._watches, self._clock.now().monotonic)
        self._first_cycles.discard(interval)
        for observer in self._observers:
            observer.cycle_finished(interval, time.monotonic() - started)

    def _plan(self, interval: float) -> CyclePlan:
        plan = self._plans.get(interval)
        if plan is None:
            members = [watch for watch in self._watches.values() if watch.interval_seconds == interval]
            plan = self._plans[interval] = CyclePlan(members, self._refreshed)
        return plan

    def _refreshed(self, modes: Sequence[str], now: Instant) -> None:
        for observer in self._observers:
            observer.refreshed(modes, now)

    def _woken(self, source: str) -> None:
        for observer in self._observers:
            observer.woken(source)

    def _superseded(self, event: ReserveEvent) -> bool:
        return self._last_changes.get(event.strategy_mode, 0) > event.sequence

    def _overran(self, interval: float) -> None:
        log.warning("cycle.overran", interval=interval)
        for observer in self._observers:
            observer.cycle_overran(interval)

    async def _check_batch(self, watches: Sequence[ModeWatch], readings: Readings) -> list[ModeWatch]:
        """Check modes and return those that want a second look."""
        doubtful: list[ModeWatch] = []
        for watch in watches:
            if watch.replaced or watch.has_seen(readings):
                continue
            step = self._advance(watch, watch.observe(readings, self.holds), readings.now)
            # The others who share accounts with a mode that is in doubt wait for it, whatever that changes for itself.
            if step.recheck or (readings.joint is not None and readings.joint.wants_second_look(watch.mode)):
                doubtful.append(watch)
            if step.event is not None:
                await self.trigger_reserve_event(step.event)
        return doubtful

    def _advance(self, watch: ModeWatch, snapshot: ReserveSnapshot, now: Instant) -> Step:
        before = watch.state if now.monotonic >= watch.followed_until else None
        step = watch.advance(snapshot, now, _new_id)
        if before is not None:
            step = self._runways.follow(watch, before, snapshot, step, now)
        if self._observers:
            # What a check was made of is put together only where it is kept: with an event.
            explanation = self._explain(watch) if step.event is not None else None
            checked = Checked(watch.mode, snapshot, step, explanation)
            for observer in self._observers:
                observer.checked(checked)
        return step

    def _explain(self, watch: ModeWatch) -> Explanation | None:
        return explain(watch, self._wiring.fingerprint(watch), self.holds)


def _new_id() -> str:
    return str(uuid.uuid4())
