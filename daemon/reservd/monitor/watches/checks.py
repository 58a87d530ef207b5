"""Checks modes: from readings to a snapshot, a new state, and an event."""

import uuid
from collections.abc import Awaitable, Callable, Sequence

import structlog

from reservd.monitor.observer import Checked, Observer
from reservd.monitor.watches.defects import NO_DEFECTS, Defects, nothing_read
from reservd.monitor.watches.holds import Holds
from reservd.monitor.watches.readings import Readings
from reservd.monitor.watches.runways import Runways
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.reasons import tell_jump
from reservd.reserve.tracker import Instant, Step

log = structlog.get_logger(__name__)


class Checks:
    """Checks modes.

    Args:
        observers: Notified of every check.
        runways: Measures how long reserves last.
        explain: Returns what a mode's last check was based on.
        holds: Returns the holds of accepted withdrawals.
        announce: Takes the events.

    Attributes:
        defects: Records defects in checks.
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
        self.defects = Defects(observers)

    async def check(self, watches: Sequence[ModeWatch], readings: Readings) -> list[ModeWatch]:
        """Check modes and return those that need a second look.

        A defect in the check of one mode does not affect the others.
        """
        holds = self._holds()
        doubtful: list[ModeWatch] = []
        for watch in watches:
            if watch.replaced or watch.has_seen(readings):
                continue
            try:
                step = self.advance(watch, watch.observe(readings, holds), readings.now)
                if step.recheck and not step.conclusive:
                    _tell_doubt(watch.mode, step)
                # All modes of a group wait for a mode in doubt, even if that changes nothing for them.
                if step.recheck or (readings.joint is not None and readings.joint.wants_second_look(watch.mode)):
                    doubtful.append(watch)
                if step.event is not None:
                    await self._say(step.event, readings.now)
            except NO_DEFECTS:
                raise
            except Exception as defect:  # noqa: BLE001  # recorded there
                await self._give_up(watch, readings.now, defect)
        return doubtful

    async def _give_up(self, watch: ModeWatch, now: Instant, defect: Exception) -> None:
        """Update a mode's state when it could not be checked: the confirmed status stays until it is too old."""
        self.defects.note(watch.mode, "check", defect, now)
        with self.defects.costing(watch.mode, "memory", now):
            step = self.advance(watch, watch.observe(nothing_read(watch, now, defect)), now)
            if step.event is not None:
                await self._say(step.event, now)
        watch.look_again()

    def advance(self, watch: ModeWatch, snapshot: ReserveSnapshot, now: Instant) -> Step:
        """Update a mode's state with a snapshot, tell the observers, and return the result."""
        before = watch.state if now.monotonic >= watch.followed_until else None
        step = watch.advance(snapshot, now, new_id)
        if before is not None:
            try:
                step = self._runways.follow(watch, before, snapshot, step, now)
            except Exception as defect:  # noqa: BLE001  # recorded; a plain `try` costs nothing
                self.defects.note(watch.mode, "runway", defect, now)
        if self._observers:
            explanation = self._why(watch, now) if step.event is not None else None
            checked = Checked(watch.mode, snapshot, step, explanation)
            for observer in self._observers:
                # The state has changed, so all other observers are still told: an event is decided only once.
                try:
                    observer.checked(checked)
                except NO_DEFECTS:
                    raise
                except Exception as defect:  # noqa: BLE001  # recorded; a plain `try` costs nothing
                    self.defects.note(watch.mode, type(observer).__name__, defect, now)
        return step

    def _why(self, watch: ModeWatch, now: Instant) -> Explanation | None:
        """Return what a check was based on. Only built when it is kept, which is with an event."""
        with self.defects.costing(watch.mode, "explanation", now):
            return self._explain(watch)
        return None

    async def _say(self, event: ReserveEvent, now: Instant) -> None:
        with self.defects.costing(event.strategy_mode, "announcement", now):
            await self._announce(event)


def _tell_doubt(mode: str, step: Step) -> None:
    """Log once why a mode keeps its status although a reading shows another."""
    state, doubted = step.state, step.state.doubted
    if doubted is not None:
        why = tell_jump(state.believed_balance, state.believed_equity, doubted)
        log.info("reading.doubted", mode=mode, status=state.confirmed, seen=doubted.status, why=why)


def new_id() -> str:
    """Return a unique id."""
    return str(uuid.uuid4())
