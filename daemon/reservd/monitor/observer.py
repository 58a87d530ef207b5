"""What the monitor reports to its observers, such as metrics and replenishment."""

from collections.abc import Sequence
from typing import NamedTuple

from reservd.errors import FailureReason
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import ReserveEvent, ReserveSnapshot, ReserveStatus
from reservd.reserve.runway import Runway
from reservd.reserve.tracker import Instant, Step, TrackerState


class Checked(NamedTuple):
    """One mode was checked and something about it is new."""

    mode: str
    snapshot: ReserveSnapshot
    """What this check found, conclusive or not."""
    step: Step
    """What the tracker made of it."""
    explanation: Explanation | None = None
    """What the check was made of; where it led to an event, and was made of readings."""

    @property
    def status(self) -> ReserveStatus:
        """The confirmed status; UNKNOWN before anything was confirmed."""
        return self.step.state.confirmed or ReserveStatus.UNKNOWN


class Observer:
    """Hears what the monitor does. Methods run on the event loop between two checks: they must be quick."""

    def began(self, mode: str, state: TrackerState) -> None:
        """A mode is watched from now on, with what is remembered of it from before."""

    def checked(self, checked: Checked) -> None:
        """A mode was checked, and its numbers, its status or its doubts changed."""

    def check_failed(self, mode: str) -> None:
        """A defect ended the check of a mode, or a part of it: the log tells which."""

    def refreshed(self, modes: Sequence[str], now: Instant) -> None:
        """These modes were checked and found as they were."""

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        """A source was read in so many seconds, or failed to be."""

    def source_is(self, source: str, *, up: bool) -> None:
        """After a reading: whether all that a source was last asked for was answered."""

    def endpoint_is(self, source: str, endpoint: str, *, up: bool) -> None:
        """After a reading: one of the endpoints that a source reads through is well now, or no longer."""

    def accounts_read(self, source: str, *, unread: int, failures: Sequence[FailureReason]) -> None:
        """After a reading of balances: so many accounts of the source could not be read, each failure for a reason.

        When all of the source failed, none of its accounts could be read, and `failures` is empty: `fetched` has why.
        """

    def circuit_is(self, source: str, *, is_open: bool) -> None:
        """A source that fails again and again is asked less often from now on, or no longer."""

    def woken(self, source: str) -> None:
        """A source told that a balance may have changed."""

    def runway_is(self, mode: str, runway: Runway | None) -> None:
        """How long a mode's reserve lasts is another now; None: it falls no longer."""

    def cycle_finished(self, interval: float, seconds: float) -> None:
        """All modes of an interval were checked."""

    def cycle_overran(self, interval: float) -> None:
        """A cycle was due while the one before was still running."""

    def event_decided(self, event: ReserveEvent) -> None:
        """An event was decided; it is on its way to the callbacks."""

    def callback_added(self, callback: str) -> None:
        """A callback hears of events from now on."""

    def callback_failed(self, callback: str, reason: FailureReason) -> None:
        """A callback did not take an event: it raised, or took too long."""

    def callback_dropped(self, callback: str) -> None:
        """A callback was too slow for too long: an event will not reach it."""
