"""The metrics page, kept ready in memory: rendered off the event loop, plain and compressed."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import structlog

from reservd.delivery.observer import DeliveryObserver
from reservd.errors import FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.replenishment import AcceptanceStatus
from reservd.reserve.tracker import TrackerState
from reservd.service.replenishment import ReplenishmentObserver
from reservd.service.withdrawals import WithdrawalDecision, WithdrawalObserver
from reservd.web.metrics import News

log = structlog.get_logger(__name__)

_MIN_SECONDS_BETWEEN = 1.0
_STALE_AFTER_SECONDS = 5.0
_GZIP_WINDOW = 31
_FASTEST = 1


class Page(NamedTuple):
    """The rendered page, plain and compressed."""

    plain: bytes
    gzipped: bytes


class MetricsPage(Observer, DeliveryObserver, ReplenishmentObserver, WithdrawalObserver):
    """Renders after each cycle, and at most once a second after any other change.

    Args:
        take: Returns the changes; runs on the event loop.
        render: Returns the page; runs on a thread of its own.
    """

    def __init__(self, take: Callable[[], News], render: Callable[[News], bytes]) -> None:
        self._take = take
        self._render = render
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._changed = asyncio.Event()
        self._cycled = asyncio.Event()
        self._rendered_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.current = Page(b"", b"")

    async def start(self) -> None:
        """Render once, and then after every change."""
        await self._renew()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop rendering."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)

    def renew(self) -> None:
        """Render soon, after a change that no observer reports."""
        self._changed.set()

    def serve(self) -> Page:
        """Return the current page. If it is some seconds old, renew it for the next scrape."""
        if time.monotonic() - self._rendered_at > _STALE_AFTER_SECONDS:
            self._changed.set()
        return self.current

    def cycle_finished(self, interval: float, seconds: float) -> None:
        """Render at once."""
        del interval, seconds
        self._cycled.set()
        self._changed.set()

    def began(self, mode: str, state: TrackerState) -> None:
        """Render soon: an incident may be open although nothing was read yet."""
        del mode, state
        self._changed.set()

    def checked(self, checked: Checked) -> None:
        """Render soon: a mode's numbers do not wait for the rest of the cycle."""
        del checked
        self._changed.set()

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        """Render soon."""
        del sink, seconds, failure
        self._changed.set()

    def store_is(self, *, up: bool, unwritten: int) -> None:
        """Render soon."""
        del up, unwritten
        self._changed.set()

    def requested(self, replenisher: str, status: AcceptanceStatus | None, failure: FailureReason | None) -> None:
        """Render soon."""
        del replenisher, status, failure
        self._changed.set()

    def decided(self, decision: WithdrawalDecision, seconds: float) -> None:
        """Render soon."""
        del decision, seconds
        self._changed.set()

    def overdue(self, by_mode: Mapping[str, int]) -> None:
        """Render soon if anything is overdue."""
        if by_mode:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            wait = self._rendered_at + _MIN_SECONDS_BETWEEN - time.monotonic()
            if wait > 0 and not self._cycled.is_set():
                with contextlib.suppress(TimeoutError):
                    # Not `wait_for`: in Python 3.11 it may swallow a cancellation.
                    async with asyncio.timeout(wait):
                        await self._cycled.wait()
            self._changed.clear()
            self._cycled.clear()
            try:
                await self._renew()
            except Exception:  # the old page stays, and the next change tries again
                log.exception("metrics.render_failed")

    async def _renew(self) -> None:
        changes = self._take()
        self.current = await asyncio.get_running_loop().run_in_executor(self._thread, self._make, changes)
        self._rendered_at = time.monotonic()

    def _make(self, changes: News) -> Page:
        plain = self._render(changes)
        return Page(plain, zlib.compress(plain, _FASTEST, _GZIP_WINDOW))
