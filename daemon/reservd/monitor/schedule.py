"""Schedules cycles: one APScheduler job for each distinct interval, however many modes there are."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = structlog.get_logger(__name__)

_CLOCK_STEP = timedelta(seconds=5)
_STUCK_AFTER_SECONDS = 60.0
_DRAIN_SECONDS = 1.5


class _Scheduler(AsyncIOScheduler):  # type: ignore[misc]  # it has no types
    """An APScheduler that is not delayed when the wall clock, which it goes by, is set."""

    def _process_jobs(self) -> Any:
        # If the clock is set back, a job would wait until it has caught up. If it is set forward, all runs that were
        # "missed" would be counted one by one.
        now = datetime.now(UTC)
        for job in self.get_jobs():
            if abs(now - job.next_run_time) > job.trigger.interval + _CLOCK_STEP:
                job.modify(next_run_time=now)
        return super()._process_jobs()


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
            IntervalTrigger(seconds=interval, start_date=now, timezone=UTC),
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
