"""Passes events on to callbacks and observers."""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from reservd.monitor.callbacks import CallbackQueue, ReserveCallback
from reservd.monitor.observer import Observer
from reservd.reserve.models import ReserveEvent

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 1.0


class Announcer:
    """Queues each event for all callbacks that cover its mode.

    Args:
        observers: Notified of every event.
        modes_watched: Returns the number of modes.
    """

    def __init__(self, observers: list[Observer], modes_watched: Callable[[], int]) -> None:
        self._observers = observers
        self._modes_watched = modes_watched
        self._callbacks: list[CallbackQueue] = []
        self._last_changes: dict[str, int] = {}

    def add(self, callback: ReserveCallback, modes: Iterable[str] | None, timeout_seconds: float | None) -> None:
        """Add a callback; the arguments are those of `ReserveManager.add_reserve_callback`."""
        self._callbacks.append(
            CallbackQueue(callback, modes, self._observers, self._superseded, self._modes_watched, timeout_seconds)
        )

    def announce(self, event: ReserveEvent) -> None:
        """Queue an event for every callback that covers its mode."""
        log.info(
            "event.decided",
            mode=event.strategy_mode,
            type=str(event.event_type),
            id=event.id,
            incident=event.incident_id,
            reminder=event.reminder,
            reason=event.reason,
        )
        if event.is_change:
            self._last_changes[event.strategy_mode] = event.sequence
        for observer in self._observers:
            observer.event_decided(event)
        for callback in self._callbacks:
            callback.put(event)

    async def close(self) -> None:
        """Deliver what is queued, for a short while, and stop."""
        drains = [asyncio.create_task(callback.drain()) for callback in self._callbacks]
        if drains:
            _, late = await asyncio.wait(drains, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()
        await asyncio.gather(*(callback.close() for callback in self._callbacks))

    def _superseded(self, event: ReserveEvent) -> bool:
        return self._last_changes.get(event.strategy_mode, 0) > event.sequence
