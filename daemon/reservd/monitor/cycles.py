"""The cycles of all intervals: when they run, and the modes of each."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import structlog

from reservd.log import DefectLog
from reservd.monitor.checks import Checks
from reservd.monitor.clock import Clock
from reservd.monitor.cycle import PATIENCE, CyclePlan
from reservd.monitor.observer import Observer
from reservd.monitor.runways import Runways
from reservd.monitor.schedule import CycleSchedule
from reservd.monitor.standstill import FairCheck
from reservd.monitor.turns import Sources
from reservd.monitor.wake import WakeUps
from reservd.monitor.watch import ModeWatch
from reservd.reserve.tracker import Instant

log = structlog.get_logger(__name__)


class Cycles:
    """Has every mode checked: at its interval, sooner where a source tells of a change, and when somebody asks.

    Args:
        sources: What reads.
        clock: Tells when a mode is checked.
        watches: All modes, by name; may change.
        checks: Checks modes.
        runways: Slide on with every cycle.
        observers: Hear of the cycles.
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
        """Whether each interval has had its first cycle."""
        return not self._outstanding

    @property
    def stuck(self) -> bool:
        """Whether cycles no longer come to their end."""
        return self._schedule.stuck

    def renew(self) -> None:
        """Look at the modes anew: they are others now."""
        self._plans.clear()
        self._wakeups.renew()

    def start(self) -> None:
        """Begin with a cycle of every interval at once."""
        self._plans.clear()
        self._outstanding = {watch.config.interval_seconds for watch in self._watches.values()}
        self._schedule.start(sorted(self._outstanding))
        self._wakeups.start()

    def add(self, interval: float) -> None:
        """Begin with the cycles of an interval, unless they run."""
        self._schedule.add(interval)

    async def stop(self) -> None:
        """Begin no more, and let what runs come to its end for a short while."""
        await self._wakeups.stop()
        await self._schedule.stop()

    async def run(self, interval: float) -> None:
        """Check all modes of an interval."""
        started = time.monotonic()
        # A source that takes longer must not hold up the next cycle, which joins its reading.
        patience = PATIENCE * interval
        plan = self._plan(interval)
        check = self._fair.setdefault(interval, FairCheck(self._check))
        check.begin(patience)
        with self._wakeups.cycle(interval, plan.waits) as done:
            await plan.run(self._sources, self._clock, check, patience, done=done)
        try:
            self._runways.slide(self._watches, self._clock.now().monotonic)
        except Exception as error:  # noqa: BLE001  # logged: a cycle that never ends well has the daemon restarted
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
