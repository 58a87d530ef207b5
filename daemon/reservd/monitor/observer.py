"""What the monitor reports to its observers, such as metrics and replenishment."""

from collections.abc import Sequence
from typing import NamedTuple

from reservd.errors import FailureReason
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import ReserveEvent, ReserveSnapshot, ReserveStatus
from reservd.reserve.runway import Runway
from reservd.reserve.tracker import Instant, Step, TrackerState


class Checked(NamedTuple):
    """A mode was checked, and something about it is new."""

    mode: str
    snapshot: ReserveSnapshot
    """The snapshot of this check, conclusive or not."""
    step: Step
    """The tracker's result."""
    explanation: Explanation | None = None
    """What the check was based on, if it led to an event and was made from readings."""

    @property
    def status(self) -> ReserveStatus:
        """The confirmed status; UNKNOWN before one was confirmed."""
        return self.step.state.confirmed or ReserveStatus.UNKNOWN


class Observer:
    """Receives what the monitor does. Methods run on the event loop between two checks, so they must be quick."""

    def began(self, mode: str, state: TrackerState) -> None:
        """Handle the start of watching a mode, with the state that was kept of it."""

    def checked(self, checked: Checked) -> None:
        """Handle a check in which the amounts, the status or the doubts of a mode have changed."""

    def check_failed(self, mode: str) -> None:
        """Handle a defect that ended a check of a mode, or a part of it; the log says which."""

    def refreshed(self, modes: Sequence[str], now: Instant) -> None:
        """Handle checks that found these modes unchanged."""

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        """Handle a reading of a source, with its duration, and the reason if it failed."""

    def source_is(self, source: str, *, up: bool) -> None:
        """Handle the health of a source after a reading: whether everything last asked of it was answered."""

    def endpoint_is(self, source: str, endpoint: str, *, up: bool) -> None:
        """Handle a change in the health of one endpoint of a source, after a reading."""

    def accounts_read(self, source: str, *, unread: int, failures: Sequence[FailureReason]) -> None:
        """Handle the number of unread accounts after a reading of balances, and the reason for each failure.

        If the whole source failed, no account could be read and `failures` is empty: `fetched` has the reason.
        """

    def circuit_is(self, source: str, *, is_open: bool) -> None:
        """Handle a circuit that opens or closes: a source that keeps failing is read less often while it is open."""

    def woken(self, source: str) -> None:
        """Handle a source's announcement that a balance may have changed."""

    def runway_is(self, mode: str, runway: Runway | None) -> None:
        """Handle a change in how long a mode's reserve lasts; None when it no longer falls."""

    def cycle_finished(self, interval: float, seconds: float) -> None:
        """Handle the end of a cycle: all modes of an interval were checked."""

    def cycle_overran(self, interval: float) -> None:
        """Handle a cycle that was due while the last one was still running."""

    def event_decided(self, event: ReserveEvent) -> None:
        """Handle a new event, which is on its way to the callbacks."""

    def callback_added(self, callback: str) -> None:
        """Handle a new callback."""

    def callback_failed(self, callback: str, reason: FailureReason) -> None:
        """Handle a callback that did not take an event: it raised, or took too long."""

    def callback_dropped(self, callback: str) -> None:
        """Handle an event that is dropped because a callback has been too slow for too long."""
