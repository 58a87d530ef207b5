"""Delivers letters to one sink: in order per mode, several modes at once, with retries."""

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
        concurrency: Modes that are served at the same time.
        schedule: When what failed is tried again.
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
        self._lanes = Lanes(sink.name, outbox)
        self._courier = Courier(
            sink, self._guarded, outbox, self._schedule, tuple(observers), recovered=self._lanes.wake_all
        )
        self._stopping = False
        self._workers: list[asyncio.Task[None]] = []
        self._resuming: asyncio.Task[None] | None = None

    def send(self, letter: Letter) -> None:
        """Take a letter that was decided now."""
        self._courier.see_clock()
        self._lanes.take(letter)

    def reload(self, mode: str, position: int) -> None:
        """Look into the store for what waits of a mode from a position on: it was made to wait again."""
        self._lanes.reload(mode, position)

    def forget(self, positions: Mapping[str, Container[int]]) -> None:
        """Let go of letters that memory should not hold, by mode; not of one whose turn it is."""
        self._lanes.forget(positions)

    async def prepare(self) -> None:
        """Find what waits from before.

        Raises:
            StoreError: If the store cannot be read.
        """
        for mode in await self._outbox.load_modes(self.name):
            self.reload(mode, 1)

    async def run(self) -> None:
        """Deliver until `close`."""
        await self.resume()
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        await asyncio.gather(*self._workers)

    async def resume(self) -> None:
        """Tell a sink that holds a state how things stand. Untold, it hears the next event all the same."""
        if type(self._sink).resume is EventSink.resume:
            return
        for failures in range(1, _RESUME_TRIES + 1):
            try:
                latest = [wrap(event) for event in await self._outbox.load_latest(self.name, datetime.now(UTC))]
                if latest and await self._outbox.may_send():
                    await self._guarded.call(partial(self._sink.resume, latest))
            except StoreError as error:
                # What is decided now must not wait for it. Once the store is there, all begins anew.
                log.warning("sink.resume_failed", sink=self.name, error=str(error))
                return
            except CallError as error:
                log.warning("sink.resume_failed", sink=self.name, error=str(error))
            except Exception:  # a defect costs this sink what it holds a while, and neither events nor other sinks
                log.exception("sink.resume_broke", sink=self.name)
            else:
                return
            await asyncio.sleep(self._schedule.delay_seconds(failures))

    def resume_soon(self) -> None:
        """Do so beside whatever else goes on."""
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.create_task(self.resume())

    async def close(self) -> None:
        """Give what can be delivered now a moment, then close the sink. What still waits stays in the store."""
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
            except Exception:  # a defect costs this mode's letters a while, and no other's
                log.exception("delivery.broke", sink=self.name, mode=lane.mode)
                delay = _DEFECT_SECONDS
            self._lanes.served(lane, delay)

    async def _serve(self, lane: Lane) -> float | None:
        """Deliver some letters of a mode; return for how many seconds to leave it alone when one was not taken."""
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
        return None
