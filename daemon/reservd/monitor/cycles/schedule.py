"""Schedules cycles: one APScheduler job for each distinct interval, however many modes there are."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger(__name__)

_CLOCK_STEP = timedelta(seconds=5)
_STUCK_AFTER_SECONDS = 60.0
_DRAIN_SECONDS = 1.5


class _Trigger(IntervalTrigger):  # type: ignore[misc]  # it has no types
    """An interval that does not list all runs that were "missed" when the wall clock is set forward."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        due: datetime = super().get_next_fire_time(previous_fire_time, now)
        return now if now - due > self.interval + _CLOCK_STEP else due


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc]
    """An APScheduler that does not wait until the wall clock, which it goes by, has caught up when it is set back."""

    def _process_jobs(self) -> float | None:
        now = datetime.now(UTC)
        for job in self.get_jobs():
            if job.next_run_time - now > job.trigger.interval + _CLOCK_STEP:
                job.modify(next_run_time=now)
        wait_seconds: float | None = super()._process_jobs()
        # The clock may be set while the wait is computed, which may then be hours.
        intervals = [job.trigger.interval_length for job in self.get_jobs()]
        return None if wait_seconds is None else min(wait_seconds, *intervals)


class CycleSchedule:
    """Runs a cycle at once and then at every interval, without drift, and never two of one interval at a time."""

    def __init__(self, run: Callable[[float], Awaitable[None]], overran: Callable[[float], None]) -> None:
        self._run = run
        self._overran = overran
        self._scheduler: _Scheduler | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._finished_at: dict[float, float] = {}

    @property
    def stuck(self) -> bool:
        """Whether a cycle is so overdue that the schedule itself must be broken."""
        now = time.monotonic()
        return any(now - at > 2 * interval + _STUCK_AFTER_SECONDS for interval, at in self._finished_at.items())

    def start(self, intervals: Iterable[float]) -> None:
        """Start a job for each interval, with the first cycle at once."""
        self._scheduler = _Scheduler(timezone=UTC)
        self._scheduler.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)
        for interval in intervals:
            self.add(interval)
        self._scheduler.start()

    def add(self, interval: float) -> None:
        """Start a job for an interval, unless there is one."""
        if self._scheduler is None or interval in self._finished_at:
            return
        now = datetime.now(UTC)
        self._finished_at[interval] = time.monotonic()
        self._scheduler.add_job(
            self._cycle,
            _Trigger(seconds=interval, start_date=now, timezone=UTC),
            args=[interval],
            id=_job_id(interval),
            next_run_time=now,
            coalesce=True,
            max_instances=1,
            # The default of 1 s would silently skip a late cycle.
            misfire_grace_time=max(1, math.ceil(interval)),
        )

    async def stop(self) -> None:
        """Start nothing more, let running cycles finish for a short while, then cancel them."""
        # Unset it first: a job that was submitted but has not started checks for it.
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is None:
            return
        scheduler.remove_all_jobs()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        # Its own wait would cancel coroutines; all of ours have ended by now.
        scheduler.shutdown(wait=False)
        self._finished_at.clear()

    async def _cycle(self, interval: float) -> None:
        if self._scheduler is None:
            return
        task = asyncio.create_task(self._guarded(interval))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task})

    async def _guarded(self, interval: float) -> None:
        try:
            await self._run(interval)
        except Exception:  # a defect in one cycle must not end the next
            log.exception("cycle.failed", interval=interval)
            return  # so that a cycle that fails every time counts as stuck
        self._finished_at[interval] = time.monotonic()

    def _skipped(self, event: JobEvent) -> None:
        interval = next((known for known in self._finished_at if _job_id(known) == event.job_id), None)
        if interval is not None:
            self._overran(interval)


def _job_id(interval: float) -> str:
    return f"every {interval!r} s"
