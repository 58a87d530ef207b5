"""What is remembered of a mode between two checks, and what one check leads to."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.models import ReserveEvent, ReserveSnapshot, ReserveStatus


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks: the wall's, to be told to people, and the monotonic one, to measure by.

    Attributes:
        wall: Aware UTC.
        monotonic: Seconds; only differences mean anything.
    """

    wall: datetime
    monotonic: float


class TrackerState(NamedTuple):
    """All that is remembered of one mode between two checks."""

    good_at: float
    """Monotonic seconds of the last conclusive check; before the first, when watching began."""
    confirmed: ReserveStatus | None = None
    """None before anything was confirmed."""
    known: ReserveStatus | None = None
    """The last confirmed status other than UNKNOWN."""
    incident_id: str | None = None
    sequence: int = 0
    low_streak: int = 0
    """Conclusive checks in a row that were at least LOW."""
    critical_streak: int = 0
    """Conclusive checks in a row that were CRITICAL."""
    good: ReserveSnapshot | None = None
    """The last conclusive snapshot that is not doubted: events carry its numbers."""
    believed_balance: Decimal | None = None
    """The last complete balance that was not a jump, or was seen twice; before one, what was certain of it."""
    believed_equity: Decimal | None = None
    """The last equity that was not a jump, or was seen twice."""
    believed_parts: tuple[Decimal, ...] = ()
    """The same of each account, where there are several."""
    doubted: ReserveSnapshot | None = None
    """A snapshot that jumped and waits for a second one to agree: the first of those that agree already."""
    announced_at: float = 0.0
    """Monotonic seconds of the last event."""
    warned: bool = False
    """Whether an early warning was given, and the runway is not long again since."""
    incident_at: datetime | None = None
    """When the open incident was opened; None without one, or where that was not kept."""
    doubted_at: float = 0.0
    """Monotonic seconds of `doubted`."""
    told: ReserveSnapshot | None = None
    """The snapshot of the last conclusive check, doubted or not; None before the first."""

    @property
    def input_age(self) -> float:
        """How many seconds old the oldest input of the last conclusive check was then."""
        return self.told.input_age if self.told is not None else 0.0

    def age_at(self, monotonic: float) -> float:
        """Return how many seconds old the oldest input of what is certain is, at a moment in monotonic seconds."""
        return monotonic - self.good_at + self.input_age

    @property
    def incident_severity(self) -> ReserveStatus | None:
        """LOW or CRITICAL while an incident is open, through UNKNOWN too."""
        return self.known if self.incident_id is not None else None


class Step(NamedTuple):
    """What one snapshot led to."""

    state: TrackerState
    """To be handed in with the next snapshot."""
    event: ReserveEvent | None
    """What is to be said, if anything."""
    conclusive: bool
    """Whether the snapshot spoke for a status that may be believed."""
    recheck: bool
    """Whether a second reading is wanted at once, because something that waits for it depends on this one,
    and it jumped. Once: when the second one asks again, or is no other observation, the next regular check will do."""

    @property
    def actionable(self) -> bool:
        """Whether a refill may be decided on the snapshot: it is conclusive, and its amounts are not doubted."""
        return self.conclusive and self.state.doubted is None
