"""The silences that operators have set, as they stand now."""

from collections.abc import Sequence
from datetime import datetime

from reservd.delivery.observer import DeliveryObserver
from reservd.monitor.clock import Clock
from reservd.store.operators import Silence


class Silences:
    """Knows which modes are hushed.

    Args:
        clock: The clock.
        observers: Notified of the modes that are.
    """

    def __init__(self, clock: Clock, observers: Sequence[DeliveryObserver] = ()) -> None:
        self._clock = clock
        self._observers = observers
        self._silences: tuple[Silence, ...] = ()
        self._modes: frozenset[str] = frozenset()

    def update(self, silences: Sequence[Silence]) -> frozenset[str]:
        """Take the silences that there are now; return the modes of which one has ended since."""
        self._silences = tuple(silences)
        now = self._clock.now().wall
        before, modes = self._modes, frozenset(each.mode for each in silences if each.covers(each.mode, now))
        self._modes = modes
        for observer in self._observers:
            observer.silenced(modes)
        return before - modes

    def cover(self, mode: str, at: datetime) -> bool:
        """Whether a silence is on for a mode then."""
        return any(silence.covers(mode, at) for silence in self._silences)
