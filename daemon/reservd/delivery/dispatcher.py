"""Delivers letters to one sink: in order per stream, several streams at once, with retries."""

import asyncio
import time
from collections.abc import Container, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from reservd.delivery.courier import Courier
from reservd.delivery.envelope import wrap
from reservd.delivery.lanes import TURN, Lane, Lanes
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.outbox import Outbox
from reservd.delivery.retry import RetrySchedule
from reservd.errors import CallError, StoreError
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import EventSink
from reservd.store.letters import Letter

log = structlog.get_logger(__name__)

_STORE_RETRY_SECONDS = 1.0
_DEFECT_SECONDS = 30.0
_RESUME_TRIES = 3
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.02


class Dispatcher:
    """Delivers to one sink.

    Args:
        sink: The sink.
        outbox: Where letters come from and outcomes go.
        concurrency: How many streams are served at the same time.
        schedule: When a failed delivery is retried.
        observers: Notified of every attempt.
    """

    def __init__(
        self,
        sink: EventSink[Any],
        outbox: Outbox,
        concurrency: int = 4,
        schedule: RetrySchedule | None = None,
        observers: Iterable[DeliveryObserver] = (),
    ) -> None:
        self.name = sink.name
        self._sink = sink
        sink.let_ask(outbox.may_send)
        self._guarded = GuardedPlugin(sink)
        self._outbox = outbox
        self._concurrency = concurrency
        self._schedule = schedule or RetrySchedule()
        self._lanes = Lanes(sink.name, outbox, refills_at_once=max(1, concurrency // 2))
        self._courier = Courier(
            sink, self._guarded, outbox, self._schedule, tuple(observers), recovered=self._lanes.wake_all
        )
        self._stopping = False
        self._workers: list[asyncio.Task[None]] = []
        self._resuming: asyncio.Task[None] | None = None

    def send(self, letter: Letter) -> None:
        """Queue a letter for an event that was decided now."""
        self._courier.see_clock()
        self._lanes.take(letter)

    def reload(self, mode: str, position: int) -> None:
        """Read a mode's pending letters from a position on from the store again: some were made pending once more."""
        self._lanes.reload(mode, position)

    def forget(self, positions: Mapping[str, Container[int]]) -> None:
        """Drop letters that memory should not hold, by mode; never the letter whose turn it is."""
        self._lanes.forget(positions)

    async def prepare(self) -> None:
        """Load the modes that have pending letters from before the start."""
        for mode in await self._outbox.load_modes(self.name):
            self.reload(mode, 1)

    async def run(self) -> None:
        """Deliver until `close`."""
        await self.resume()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        await asyncio.gather(*self._workers)

    async def resume(self) -> None:
        """Send the latest events to a sink that holds state. On failure, the sink still gets the next event."""
        if type(self._sink).resume is EventSink.resume:
            return
        for failures in range(1, _RESUME_TRIES + 1):
            try:
                latest = [wrap(event) for event in await self._outbox.load_latest(self.name, datetime.now(UTC))]
                if latest and await self._outbox.may_send():
                    await self._guarded.call(partial(self._sink.resume, latest))
            except StoreError as error:
                # New events must not wait for this. It is repeated once the store is back.
                log.warning("sink.resume_failed", sink=self.name, error=str(error))
                return
            except CallError as error:
                log.warning("sink.resume_failed", sink=self.name, error=str(error))
            except Exception:  # a defect delays what this sink holds, and neither events nor other sinks
                log.exception("sink.resume_broke", sink=self.name)
            else:
                return
            await asyncio.sleep(self._schedule.delay_seconds(failures))

    def resume_soon(self) -> None:
        """Start `resume` in the background, unless it is running."""
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.create_task(self.resume())

    async def close(self) -> None:
        """Deliver what is possible within a short grace period, then close the sink. The rest stays in the store."""
        end = time.monotonic() + _GRACE_SECONDS
        while self._workers and self._lanes.busy and time.monotonic() < end:  # noqa: ASYNC110  # lanes end one by one
            await asyncio.sleep(_LOOK_SECONDS)
        self._stopping = True
        self._lanes.stop()
        tasks = [*self._workers, *([self._resuming] if self._resuming is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._guarded.close()

    async def _work(self) -> None:
        while not self._stopping:
            lane = await self._lanes.next()
            try:
                delay = await self._serve(lane)
            except Exception:  # a defect delays the letters of this stream only
                log.exception("delivery.broke", sink=self.name, mode=lane.stream.mode)
                delay = _DEFECT_SECONDS
            self._lanes.served(lane, delay)

    async def _serve(self, lane: Lane) -> float | None:
        """Deliver some letters of a lane. Return the seconds to wait before the next attempt after one failed."""
        for _ in range(TURN):
            try:
                letter = await self._lanes.first(lane)
            except StoreError:
                return _STORE_RETRY_SECONDS
            if letter is None or self._stopping:
                return None
            delay = await self._courier.carry(letter, lane)
            if delay is not None:
                return delay
            self._lanes.ended(lane, letter)
            if lane.stream.of_refills and self._lanes.others_wait:
                return None
        return None
