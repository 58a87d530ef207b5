"""Events to sinks, each sink on a queue of its own."""

import time
from collections.abc import Iterable
from typing import Any

import structlog

from reservd.delivery.envelope import wrap
from reservd.errors import CallError, FailureReason
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import EventSink
from reservd.reserve.models import ReserveEvent

log = structlog.get_logger(__name__)


class DeliveryObserver:
    """Hears of every attempt to hand on an event."""

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        """An event was taken in so many seconds, or was not."""


class SinkDelivery:
    """Hands events to one sink. A callback of the reserve manager, which queues for it.

    Attributes:
        name: The sink's.
    """

    def __init__(self, sink: EventSink[Any], observers: Iterable[DeliveryObserver] = ()) -> None:
        self.name = sink.name
        self._sink = sink
        self._guarded = GuardedPlugin(sink)
        self._observers = tuple(observers)

    async def __call__(self, event: ReserveEvent) -> None:
        """Deliver one event, once. A failure is counted and logged."""
        message = wrap(event)
        bound = log.bind(sink=self.name, mode=event.strategy_mode, id=event.id, type=str(event.event_type))
        started = time.monotonic()
        reason = None
        try:
            await self._guarded.call(lambda: self._sink.deliver(message))
        except CallError as error:
            reason = error.reason
            bound.error("delivery.failed", reason=str(error.reason), detail=error.detail)
        else:
            bound.debug("event.delivered")
        for observer in self._observers:
            observer.delivered(self.name, time.monotonic() - started, reason)

    async def close(self) -> None:
        """Close the sink."""
        await self._guarded.close()
