"""The operators' silences that are in effect."""

from collections.abc import Sequence
from datetime import datetime

from reservd.delivery.observer import DeliveryObserver
from reservd.monitor.clock import Clock
from reservd.store.operators import Silence


class Silences:
    """Knows which modes are silenced.

    Args:
        clock: The clock.
        observers: Notified of the silenced modes.
    """

    def __init__(self, clock: Clock, observers: Sequence[DeliveryObserver] = ()) -> None:
        self._clock = clock
        self._observers = observers
        self._silences: tuple[Silence, ...] = ()
        self._modes: frozenset[str] = frozenset()

    def update(self, silences: Sequence[Silence]) -> frozenset[str]:
        """Replace the silences. Return the modes whose silence has ended since the last update."""
        self._silences = tuple(silences)
        now = self._clock.now().wall
        before, modes = self._modes, frozenset(each.mode for each in silences if each.covers(each.mode, now))
        self._modes = modes
        for observer in self._observers:
            observer.silenced(modes)
        return before - modes

    def cover(self, mode: str, at: datetime) -> bool:
        """Return whether a mode is silenced at that time."""
        return any(silence.covers(mode, at) for silence in self._silences)
