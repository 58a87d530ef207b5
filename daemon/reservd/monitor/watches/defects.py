"""Limits the effect of a defect: it ends the check of its mode, which becomes unknown in time, and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from reservd.errors import CallError, FailureReason, OwnershipLostError, StoreError
from reservd.log import plain_traceback
from reservd.monitor.observer import Observer
from reservd.monitor.sources.table import FailedTable
from reservd.monitor.watches.readings import Readings, believe_readings
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.tracker import Instant

log = structlog.get_logger(__name__)

NO_DEFECTS = (OwnershipLostError, StoreError)
"""Errors that do end a cycle, raised by whoever takes events."""

_TELL_AGAIN_SECONDS = 300.0
_ALL = "all"
_NAMED = 20
"""The most modes that one log line names."""


def nothing_read(watch: ModeWatch, now: Instant, defect: Exception) -> Readings:
    """Return readings without any data for a mode, in place of those that it could not be checked with.

    Args:
        watch: The mode's watch.
        now: The time of the check.
        defect: Why it could not be checked. Only its type is reported, since its text may contain anything.
    """
    failure = CallError(FailureReason.INTERNAL, f"a bug aborted the check: {type(defect).__name__}")
    tables = {source: FailedTable(failure) for source, _ in watch.places}
    return believe_readings(tables, watch.equity, failure, watch.config.policy, now)


class Defects:
    """Counts defects, and logs each from time to time: one that lasts would repeat its lines at every check.

    Args:
        observers: Notified of each.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers
        self._told_at: dict[tuple[str, str], float] = {}

    @contextmanager
    def costing(self, mode: str, part: str, now: Instant) -> Iterator[None]:
        """Note a defect within this context, which ends that and nothing else. The arguments are those of `note`."""
        try:
            yield
        except NO_DEFECTS:
            raise
        except Exception as defect:  # noqa: BLE001  # recorded
            self.note(mode, part, defect, now)

    def note(self, mode: str, part: str, defect: Exception, now: Instant) -> None:
        """Note a defect.

        Args:
            mode: The mode that was checked.
            part: The part of the check that failed.
            defect: The exception.
            now: The time of the check.
        """
        if self._is_due(mode, part, now):
            log.error("check.failed", mode=mode, part=part, exception=plain_traceback(defect))
        self._count(mode)

    def note_all(self, modes: Sequence[str], defect: Exception, now: Instant) -> None:
        """Note a defect that ends the check of all modes that are checked together.

        Args:
            modes: The modes, each time with the same one first.
            defect: The exception.
            now: The time of the check.
        """
        if self._is_due(modes[0], _ALL, now):
            log.error("check.failed", modes=list(modes[:_NAMED]), exception=plain_traceback(defect))
        for mode in modes:
            self._count(mode)

    def _is_due(self, mode: str, part: str, now: Instant) -> bool:
        told_at = self._told_at.get((mode, part))
        if told_at is not None and now.monotonic - told_at < _TELL_AGAIN_SECONDS:
            return False
        self._told_at[mode, part] = now.monotonic
        return True

    def _count(self, mode: str) -> None:
        for observer in self._observers:
            observer.check_failed(mode)
