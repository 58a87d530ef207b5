"""Attempts to deliver one letter to one sink, and decides what follows from the attempt."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from reservd.delivery.age_clock import AgeClock
from reservd.delivery.envelope import wrap, wrap_change
from reservd.delivery.lanes import Lane
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.outbox import Outbox
from reservd.delivery.retry import RetrySchedule, waited_out
from reservd.errors import CallError, DeliveryError, FailureReason
from reservd.monitor.clock import SystemClock
from reservd.plugin.guard import GuardedPlugin, retryable
from reservd.plugin.interfaces import EventSink
from reservd.reserve.replenishment.event import AnyEvent, ReplenishmentEvent
from reservd.store.letters import Letter, UnreadableEvent
from reservd.store.outbox import Outcome
from reservd.wire.events import DeliveryState

log = structlog.get_logger(__name__)

_DOWN_AFTER = 3
_OTHER_OWNER_SECONDS = 1.0
"""How long to wait while another owner of the store should send, before checking again."""


_UNREADABLE = DeliveryError(
    FailureReason.INVALID_DATA, "this version of reservd cannot read the event in its store", retryable=False
)


class Courier:
    """Delivers letters to one sink, and reports the outcome of each to the outbox.

    Args:
        sink: The sink.
        guarded: The same sink, wrapped for calls.
        outbox: Knows which events are silenced or superseded, and takes outcomes.
        schedule: When a failed delivery is retried.
        observers: Notified of every attempt.
        recovered: Called when a sink that failed every attempt accepts an event again.
    """

    def __init__(
        self,
        sink: EventSink[Any],
        guarded: GuardedPlugin,
        outbox: Outbox,
        schedule: RetrySchedule,
        observers: Sequence[DeliveryObserver],
        recovered: Callable[[], None],
    ) -> None:
        self._sink = sink
        self._guarded = guarded
        self._outbox = outbox
        self._schedule = schedule
        self._observers = observers
        self._recovered = recovered
        self._failures_in_a_row = 0
        self._left_alone_until = 0.0
        self._age_clock = AgeClock(SystemClock(), schedule.give_up_after)

    def see_clock(self) -> None:
        """Record the current setting of the clock, for events that are decided now."""
        self._age_clock.now()

    async def carry(self, letter: Letter, lane: Lane) -> float | None:
        """Deliver one letter. Return the seconds to wait before the next attempt; None when the letter is done with."""
        event = letter.event
        now = datetime.now(UTC)
        if isinstance(event, UnreadableEvent):
            self._bury(letter, letter.attempts, now, _UNREADABLE)
            return None
        if self._outbox.is_silenced(lane.stream.mode, now):
            self._settle(letter, DeliveryState.SILENCED, letter.attempts, now)
            return None
        superseded = self._outbox.is_superseded(event)
        if event.reminder and (superseded or lane.says_more):
            self._settle(letter, DeliveryState.SUPERSEDED, letter.attempts, now)
            return None
        not_yet = await self._not_yet()
        if not_yet is not None:
            return not_yet
        attempts = letter.attempts + lane.failures + 1
        deliver = self._delivery(event, superseded=superseded)
        started = time.monotonic()
        try:
            await self._guarded.call(deliver, str(lane.stream))
        except CallError as error:
            self._tell(started, error.reason)
            return self._failed(letter, event, lane, attempts, error)
        self._tell(started, None)
        self._taken()
        self._settle(letter, DeliveryState.DELIVERED, attempts, now)
        return None

    async def _not_yet(self) -> float | None:
        """Return how many seconds to wait before the sink may be sent anything; None when it may be now."""
        left_alone = self._left_alone_until - asyncio.get_running_loop().time()
        if left_alone > 0:
            return left_alone
        return None if await self._outbox.may_send() else _OTHER_OWNER_SECONDS

    def _delivery(self, event: AnyEvent, *, superseded: bool) -> Callable[[], Coroutine[Any, Any, None]]:
        if isinstance(event, ReplenishmentEvent):
            return partial(self._sink.deliver_replenishment, wrap_change(event, self._outbox.epoch))
        message = wrap(event.model_copy(update={"superseded": True}) if superseded else event, self._outbox.epoch)
        return partial(self._sink.deliver, message)

    def _failed(self, letter: Letter, event: AnyEvent, lane: Lane, attempts: int, error: CallError) -> float | None:
        now = datetime.now(UTC)
        self._failures_in_a_row += 1
        if not retryable(error) or self._schedule.gives_up(event.timestamp, self._age_clock.now()):
            self._bury(letter, attempts, now, error)
            return None
        if not lane.failures:
            log.warning("delivery.failed", **self._account(letter, attempts, error))
        lane.failures += 1
        self._settle(letter, DeliveryState.PENDING, attempts, now, error)
        asked = error.retry_after_seconds if isinstance(error, DeliveryError) else None
        # The sink answered for one mode, but the wait applies to all: events of other modes would be refused as well.
        until = asyncio.get_running_loop().time() + waited_out(asked)
        self._left_alone_until = max(self._left_alone_until, until)
        return self._schedule.delay_seconds(lane.failures, asked)

    def _bury(self, letter: Letter, attempts: int, at: datetime, error: CallError) -> None:
        log.error("delivery.dead", **self._account(letter, attempts, error))
        self._settle(letter, DeliveryState.DEAD, attempts, at, error)

    def _account(self, letter: Letter, attempts: int, error: CallError) -> dict[str, Any]:
        return {
            "sink": self._sink.name,
            "mode": letter.event.strategy_mode,
            "id": letter.event.id,
            "attempts": attempts,
            "reason": str(error.reason),
            "detail": error.detail,
        }

    def _taken(self) -> None:
        was_down = self._failures_in_a_row >= _DOWN_AFTER
        self._failures_in_a_row = 0
        if was_down:
            log.info("sink.recovered", sink=self._sink.name)
            self._recovered()

    def _settle(
        self, letter: Letter, state: DeliveryState, attempts: int, at: datetime, error: CallError | None = None
    ) -> None:
        reason, detail = (error.reason, error.detail) if error is not None else (None, "")
        self._outbox.settle(Outcome(self._sink.name, letter.position, state, attempts, at, reason, detail))

    def _tell(self, started: float, reason: FailureReason | None) -> None:
        for observer in self._observers:
            observer.delivered(self._sink.name, time.monotonic() - started, reason)
