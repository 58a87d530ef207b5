"""What delivery reports to its observers, such as the metrics."""

from collections.abc import Mapping

from reservd.errors import FailureReason
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.letters import Backlog
from reservd.wire.events import DeliveryState


class DeliveryObserver:
    """Is notified of every delivery attempt, and of the store. Methods run on the event loop and must be quick."""

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        """A delivery attempt took this many seconds. `failure` is None if it succeeded."""

    def ended(self, sink: str, state: DeliveryState) -> None:
        """A delivery ended, successfully or not."""

    def announced(self, position: int, event: AnyEvent) -> None:
        """An event may be published: it is in the store at this position, or the store is known to be unavailable."""

    def backlogs(self, by_sink: Mapping[str, Backlog]) -> None:
        """These are the backlogs in the store. Sinks that are missing have none."""

    def silenced(self, modes: frozenset[str]) -> None:
        """These modes, and no others, are silenced."""

    def dropped(self, numbers: Mapping[str, int]) -> None:
        """So many `events`, `outcomes` and `snapshots` were dropped from memory before they were stored."""

    def store_is(self, *, up: bool, unwritten: int) -> None:
        """The last write succeeded or failed, and this many events in memory wait for the next one."""
