"""One check: from what was read to a snapshot, to what is remembered, to what is said."""

import uuid
from collections.abc import Awaitable, Callable, Sequence

from reservd.monitor.holds import Holds
from reservd.monitor.observer import Checked, Observer
from reservd.monitor.readings import Readings
from reservd.monitor.runways import Runways
from reservd.monitor.watch import ModeWatch
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.tracker import Instant, Step


class Checks:
    """Checks modes.

    Args:
        observers: Hear of every check.
        runways: Follow how long reserves last.
        explain: Tells what a mode's last check was made of.
        holds: Returns what is promised to accepted withdrawals.
        announce: Takes the events.
    """

    def __init__(
        self,
        observers: Sequence[Observer],
        runways: Runways,
        explain: Callable[[ModeWatch], Explanation | None],
        holds: Callable[[], Holds | None],
        announce: Callable[[ReserveEvent], Awaitable[None]],
    ) -> None:
        self._observers = observers
        self._runways = runways
        self._explain = explain
        self._holds = holds
        self._announce = announce

    async def check(self, watches: Sequence[ModeWatch], readings: Readings) -> list[ModeWatch]:
        """Check modes and return those that want a second look."""
        holds = self._holds()
        doubtful: list[ModeWatch] = []
        for watch in watches:
            if watch.replaced or watch.has_seen(readings):
                continue
            step = self.advance(watch, watch.observe(readings, holds), readings.now)
            # The others who share accounts with a mode that is in doubt wait for it, whatever that changes for itself.
            if step.recheck or (readings.joint is not None and readings.joint.wants_second_look(watch.mode)):
                doubtful.append(watch)
            if step.event is not None:
                await self._announce(step.event)
        return doubtful

    def advance(self, watch: ModeWatch, snapshot: ReserveSnapshot, now: Instant) -> Step:
        """Take a snapshot into a mode's memory, tell the observers, and return what it led to."""
        before = watch.state if now.monotonic >= watch.followed_until else None
        step = watch.advance(snapshot, now, new_id)
        if before is not None:
            step = self._runways.follow(watch, before, snapshot, step, now)
        if self._observers:
            # What a check was made of is put together only where it is kept: with an event.
            explanation = self._explain(watch) if step.event is not None else None
            checked = Checked(watch.mode, snapshot, step, explanation)
            for observer in self._observers:
                observer.checked(checked)
        return step


def new_id() -> str:
    """Return an id that nobody else makes."""
    return str(uuid.uuid4())
