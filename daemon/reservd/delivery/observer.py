"""What delivery reports to its observers, such as the metrics."""

from collections.abc import Mapping

from reservd.errors import FailureReason
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.letters import Backlog
from reservd.wire.events import DeliveryState


class DeliveryObserver:
    """Is notified of every delivery attempt, and of the store. Methods run on the event loop and must be quick."""

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        """An event was taken in so many seconds, or was not."""

    def ended(self, sink: str, state: DeliveryState) -> None:
        """A delivery came to an end, well or not."""

    def announced(self, position: int, event: AnyEvent) -> None:
        """An event may be told: it is in the store at this position, or the store is known to be gone."""

    def backlogs(self, by_sink: Mapping[str, Backlog]) -> None:
        """So much waits in the store for the sinks; for those that are not named, nothing."""

    def silenced(self, modes: frozenset[str]) -> None:
        """A silence is on for these modes, and for no other."""

    def dropped(self, numbers: Mapping[str, int]) -> None:
        """So many `events`, `outcomes` and `snapshots` that waited for the store were more than memory should hold."""

    def store_is(self, *, up: bool, unwritten: int) -> None:
        """Whether the last write went well, and how many events wait in memory for the next one."""
