"""Runs the cycles of all intervals, each with its modes."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from reservd.log import DefectLog
from reservd.monitor.clock import Clock
from reservd.monitor.cycles.cycle import PATIENCE, CyclePlan
from reservd.monitor.cycles.schedule import CycleSchedule
from reservd.monitor.cycles.standstill import FairCheck
from reservd.monitor.cycles.wake import WakeUps
from reservd.monitor.observer import Observer
from reservd.monitor.sources.readers import Sources
from reservd.monitor.watches.checks import Checks
from reservd.monitor.watches.runways import Runways
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.tracker import Instant

log = structlog.get_logger(__name__)


class Cycles:
    """Checks every mode at its interval, sooner when a source announces a change, and on demand.

    Args:
        sources: The readers.
        clock: Tells when a mode is checked.
        watches: All modes, by name; may change.
        checks: Checks modes.
        runways: Measures how long reserves last; updated after every cycle.
        observers: Notified of the cycles.
    """

    def __init__(
        self,
        sources: Sources,
        clock: Clock,
        watches: Mapping[str, ModeWatch],
        checks: Checks,
        runways: Runways,
        observers: Sequence[Observer],
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._watches = watches
        self._check = checks.check
        self._defects = checks.defects
        self._runways = runways
        self._observers = observers
        self._plans: dict[float, CyclePlan] = {}
        self._fair: dict[float, FairCheck] = {}
        self._schedule = CycleSchedule(self.run, self._overran)
        self._wakeups = WakeUps(sources, clock, watches.values, self._check, self._woken, self._defects)
        self._outstanding: set[float] = set()
        self._broken_runways = DefectLog("runways.broke")

    @property
    def begun(self) -> bool:
        """Whether the first cycle of every interval has finished."""
        return not self._outstanding

    @property
    def stuck(self) -> bool:
        """Whether cycles no longer finish."""
        return self._schedule.stuck

    def renew(self) -> None:
        """Drop the plans, because the modes have changed."""
        self._plans.clear()
        self._wakeups.renew()

    def start(self) -> None:
        """Start the cycles of all intervals, the first of each at once."""
        self._plans.clear()
        self._outstanding = {watch.config.interval_seconds for watch in self._watches.values()}
        self._schedule.start(sorted(self._outstanding))
        self._wakeups.start()

    def add(self, interval: float) -> None:
        """Start the cycles of an interval, unless they run already."""
        self._schedule.add(interval)

    async def stop(self) -> None:
        """Start nothing more, and let running cycles finish for a short while."""
        await self._wakeups.stop()
        await self._schedule.stop()

    async def run(self, interval: float) -> None:
        """Check all modes of an interval."""
        started = time.monotonic()
        # A slower source must not delay the next cycle, which joins its reading.
        patience = PATIENCE * interval
        plan = self._plan(interval)
        check = self._fair.setdefault(interval, FairCheck(self._check))
        check.begin(patience)
        with self._wakeups.cycle(interval, plan.waits) as done:
            await plan.run(self._sources, self._clock, check, patience, done=done)
        try:
            self._runways.slide(self._watches, self._clock.now().monotonic)
        except Exception as error:  # noqa: BLE001  # logged: the daemon would be restarted if no cycle ended well
            self._broken_runways.tell(error)
        self._outstanding.discard(interval)
        for observer in self._observers:
            observer.cycle_finished(interval, time.monotonic() - started)

    async def check_all(self) -> None:
        """Check every mode once, now."""
        plans = [self._plan(interval) for interval in {each.config.interval_seconds for each in self._watches.values()}]
        await asyncio.gather(*(plan.run(self._sources, self._clock, self._check) for plan in plans))

    def _plan(self, interval: float) -> CyclePlan:
        plan = self._plans.get(interval)
        if plan is None:
            members = [watch for watch in self._watches.values() if watch.interval_seconds == interval]
            plan = self._plans[interval] = CyclePlan(members, self._defects, self._refreshed)
        return plan

    def _refreshed(self, modes: Sequence[str], now: Instant) -> None:
        for observer in self._observers:
            observer.refreshed(modes, now)

    def _woken(self, source: str) -> None:
        for observer in self._observers:
            observer.woken(source)

    def _overran(self, interval: float) -> None:
        log.warning("cycle.overran", interval=interval)
        for observer in self._observers:
            observer.cycle_overran(interval)
