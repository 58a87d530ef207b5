"""Letters to one sink: in order for each mode, several modes at once, again and again until they are taken."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Container, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from reservd.delivery.calendar import Calendar
from reservd.delivery.envelope import wrap, wrap_change
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.outbox import Outbox
from reservd.delivery.retry import RetrySchedule
from reservd.errors import CallError, DeliveryError, FailureReason, StoreError
from reservd.monitor.clock import SystemClock
from reservd.plugin.guard import GuardedPlugin, retryable
from reservd.plugin.interfaces import EventSink
from reservd.reserve.replenishment_event import AnyEvent, ReplenishmentEvent
from reservd.store.outbox import Letter, Outcome
from reservd.wire.events import DeliveryState

log = structlog.get_logger(__name__)

_WINDOW = 2_000
"""Letters that one sink keeps in memory; more of them stay in the store."""
_PAGE = 100
_QUANTUM = 20
"""Letters of one mode in a row while others wait."""
_DOWN_AFTER = 3
_STORE_RETRY_SECONDS = 1.0
_DEFECT_SECONDS = 30.0
_RESUME_TRIES = 3
_GRACE_SECONDS = 2.0
_LOOK_SECONDS = 0.02


class _Lane:
    """The letters of one mode, in order."""

    __slots__ = ("behind", "cursor", "failures", "letters", "mode", "more", "queued", "reloads", "timer")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.letters: deque[Letter] = deque()
        self.cursor = 0
        """The last position that was taken into memory."""
        self.behind = False
        """Whether the store has more after those, which comes before anything that is decided now."""
        self.more = False
        """Whether something was decided since the store was last looked into."""
        self.failures = 0
        self.reloads = 0
        """How often it was to be read from the store anew: what was asked of the store before is out of date."""
        self.queued = False
        """Whether it is being served, or will be without a timer."""
        self.timer: asyncio.TimerHandle | None = None


class Dispatcher:
    """Delivers to one sink.

    Args:
        sink: The sink.
        outbox: Where letters come from and outcomes go.
        concurrency: Modes that are served at the same time.
        schedule: When what failed is tried again.
        observers: Hear of every attempt.
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
        self._observers = tuple(observers)
        self._lanes: dict[str, _Lane] = {}
        self._ready: asyncio.Queue[_Lane] = asyncio.Queue()
        self._held = 0
        self._failures_in_a_row = 0
        self._calendar = Calendar(SystemClock(), self._schedule.give_up_after)
        self._stopping = False
        self._workers: list[asyncio.Task[None]] = []
        self._resuming: asyncio.Task[None] | None = None

    def send(self, letter: Letter) -> None:
        """Take a letter that was decided now."""
        self._calendar.now()  # it sees how the clock is set by which this was decided
        lane = self._lane(letter.event.strategy_mode)
        if letter.position <= lane.cursor:
            return  # it was read from the store already
        if lane.behind:
            lane.more = True
        elif self._held >= _WINDOW and self._outbox.is_written(letter.position):
            lane.behind = lane.more = True
            if not lane.letters:
                lane.cursor = letter.position - 1
        else:
            lane.letters.append(letter)
            lane.cursor = letter.position
            self._held += 1
        self._serve_soon(lane)

    def reload(self, mode: str, position: int) -> None:
        """Look into the store for what waits of a mode from a position on: it was made to wait again."""
        lane = self._lane(mode)
        if any(not self._outbox.is_written(letter.position) for letter in lane.letters):
            # What is in memory alone must not be let go of.
            asyncio.get_running_loop().call_later(_STORE_RETRY_SECONDS, self.reload, mode, position)
            return
        self._held -= len(lane.letters)
        lane.letters.clear()
        lane.cursor = min(lane.cursor, position - 1)
        lane.failures = 0
        lane.reloads += 1
        lane.behind = lane.more = True
        self._wake(lane)

    def forget(self, positions: Mapping[str, Container[int]]) -> None:
        """Let go of letters that memory should not hold, by mode; not of one whose turn it is."""
        for mode, gone in positions.items():
            lane = self._lanes.get(mode)
            if lane is not None and lane.letters:
                first, *others = lane.letters
                kept = [first, *(letter for letter in others if letter.position not in gone)]
                self._held -= len(lane.letters) - len(kept)
                lane.letters = deque(kept)

    async def prepare(self) -> None:
        """Find what waits from before.

        Raises:
            StoreError: If the store does not tell.
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
                await asyncio.sleep(self._schedule.delay_seconds(failures))
            else:
                return

    def resume_soon(self) -> None:
        """Do so beside whatever else goes on."""
        if self._resuming is None or self._resuming.done():
            self._resuming = asyncio.create_task(self.resume())

    async def close(self) -> None:
        """Give what can be delivered now a moment, then close the sink. What still waits stays in the store."""
        end = time.monotonic() + _GRACE_SECONDS
        while self._workers and any(lane.queued for lane in self._lanes.values()) and time.monotonic() < end:  # noqa: ASYNC110  # lanes end one by one
            await asyncio.sleep(_LOOK_SECONDS)
        self._stopping = True
        for lane in self._lanes.values():
            if lane.timer is not None:
                lane.timer.cancel()
        tasks = [*self._workers, *([self._resuming] if self._resuming is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._guarded.close()

    # Lanes

    def _lane(self, mode: str) -> _Lane:
        lane = self._lanes.get(mode)
        if lane is None:
            lane = self._lanes[mode] = _Lane(mode)
        return lane

    def _serve_soon(self, lane: _Lane) -> None:
        if not lane.queued and lane.timer is None:
            lane.queued = True
            self._ready.put_nowait(lane)

    def _serve_later(self, lane: _Lane, seconds: float) -> None:
        if not self._stopping:
            lane.timer = asyncio.get_running_loop().call_later(seconds, self._wake, lane)

    def _wake(self, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        self._serve_soon(lane)

    async def _work(self) -> None:
        while not self._stopping:
            lane = await self._ready.get()
            try:
                delay = await self._serve(lane)
            except Exception:  # a defect costs this mode's letters a while, and no other's
                log.exception("delivery.broke", sink=self.name, mode=lane.mode)
                delay = _DEFECT_SECONDS
            lane.queued = False
            if delay is not None:
                self._serve_later(lane, delay)
            elif lane.letters or lane.behind:
                self._serve_soon(lane)
            else:
                self._lanes.pop(lane.mode, None)

    async def _serve(self, lane: _Lane) -> float | None:
        """Deliver some letters of a mode; return for how many seconds to leave it alone when one was not taken."""
        for _ in range(_QUANTUM):
            if not lane.letters and lane.behind:
                try:
                    await self._load(lane)
                except StoreError:
                    return _STORE_RETRY_SECONDS
            if not lane.letters or self._stopping:
                return None
            letter = lane.letters[0]
            delay = await self._deliver(letter, lane)
            if delay is not None:
                return delay
            # Not so when it was reloaded meanwhile.
            if lane.letters and lane.letters[0] is letter:
                lane.letters.popleft()
                self._held -= 1
        return None

    async def _load(self, lane: _Lane) -> None:
        lane.more = False
        reloads = lane.reloads
        letters = await self._outbox.load(self.name, lane.mode, lane.cursor, _PAGE)
        if lane.reloads != reloads:
            return  # something before these was made to wait again meanwhile
        # What was decided meanwhile may not be among them.
        lane.behind = lane.more or len(letters) == _PAGE
        lane.letters.extend(letters)
        self._held += len(letters)
        if letters:
            lane.cursor = letters[-1].position

    # Letters

    async def _deliver(self, letter: Letter, lane: _Lane) -> float | None:
        """Deliver one letter; return for how many seconds to wait when it is to be tried again."""
        event = letter.event
        now = datetime.now(UTC)
        if self._outbox.is_silenced(lane.mode, now):
            self._end(letter, DeliveryState.SILENCED, letter.attempts, now)
            return None
        superseded = self._outbox.is_superseded(event)
        if superseded and event.reminder:
            self._end(letter, DeliveryState.SUPERSEDED, letter.attempts, now)
            return None
        if not await self._outbox.may_send():
            return _STORE_RETRY_SECONDS
        attempts = letter.attempts + lane.failures + 1
        deliver = self._delivery(event, superseded=superseded)
        started = time.monotonic()
        try:
            await self._guarded.call(deliver, lane.mode)
        except CallError as error:
            self._tell(started, error.reason)
            return self._failed(letter, lane, attempts, error)
        self._tell(started, None)
        lane.failures = 0
        self._recovered()
        self._end(letter, DeliveryState.DELIVERED, attempts, now)
        return None

    def _delivery(self, event: AnyEvent, *, superseded: bool) -> Callable[[], Coroutine[Any, Any, None]]:
        if isinstance(event, ReplenishmentEvent):
            return partial(self._sink.deliver_replenishment, wrap_change(event, self._outbox.epoch))
        message = wrap(event.model_copy(update={"superseded": True}) if superseded else event, self._outbox.epoch)
        return partial(self._sink.deliver, message)

    def _failed(self, letter: Letter, lane: _Lane, attempts: int, error: CallError) -> float | None:
        now = datetime.now(UTC)
        bound = log.bind(sink=self.name, mode=lane.mode, id=letter.event.id, attempts=attempts)
        self._failures_in_a_row += 1
        if not retryable(error) or self._schedule.gives_up(letter.event.timestamp, self._calendar.now()):
            bound.error("delivery.dead", reason=str(error.reason), detail=error.detail)
            lane.failures = 0
            self._end(letter, DeliveryState.DEAD, attempts, now, error)
            return None
        if not lane.failures:
            bound.warning("delivery.failed", reason=str(error.reason), detail=error.detail)
        lane.failures += 1
        self._outbox.settle(
            Outcome(self.name, letter.position, DeliveryState.PENDING, attempts, now, error.reason, error.detail)
        )
        asked = error.retry_after_seconds if isinstance(error, DeliveryError) else None
        return self._schedule.delay_seconds(lane.failures, asked)

    def _end(
        self, letter: Letter, state: DeliveryState, attempts: int, at: datetime, error: CallError | None = None
    ) -> None:
        self._outbox.settle(
            Outcome(
                self.name,
                letter.position,
                state,
                attempts,
                at,
                error.reason if error is not None else None,
                error.detail if error is not None else "",
            )
        )

    def _recovered(self) -> None:
        """Wake all lanes that wait for their next try once a sink that failed everything takes something again."""
        was_down = self._failures_in_a_row >= _DOWN_AFTER
        self._failures_in_a_row = 0
        if was_down:
            log.info("sink.recovered", sink=self.name)
            for lane in self._lanes.values():
                if lane.timer is not None:
                    self._wake(lane)

    def _tell(self, started: float, reason: FailureReason | None) -> None:
        for observer in self._observers:
            observer.delivered(self.name, time.monotonic() - started, reason)
