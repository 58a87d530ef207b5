"""The state of a mode between two checks, and the result of one check."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reservd.reserve.models import EquityParts, ReserveEvent, ReserveSnapshot, ReserveStatus


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks: the wall clock, to show to people, and the monotonic clock, to measure by.

    Attributes:
        wall: Aware UTC.
        monotonic: Seconds; only differences are meaningful.
    """

    wall: datetime
    monotonic: float


class TrackerState(NamedTuple):
    """The state of one mode between two checks."""

    good_at: float
    """Monotonic seconds of the last conclusive check; before the first, of the start of watching."""
    confirmed: ReserveStatus | None = None
    """None before anything was confirmed."""
    known: ReserveStatus | None = None
    """The last confirmed status other than UNKNOWN."""
    incident_id: str | None = None
    sequence: int = 0
    low_streak: int = 0
    """The number of conclusive checks in a row that were at least LOW."""
    critical_streak: int = 0
    """The number of conclusive checks in a row that were CRITICAL."""
    good: ReserveSnapshot | None = None
    """The last conclusive snapshot that is not doubted: events carry its amounts."""
    believed_balance: Decimal | None = None
    """The last complete balance that was not a jump, or was seen twice; before one, its lower bound."""
    believed_equity: Decimal | None = None
    """The last equity that was not a jump, or was seen twice."""
    believed_parts: tuple[Decimal, ...] = ()
    """The same for each account, if there are several."""
    doubted: ReserveSnapshot | None = None
    """The first of the snapshots that jumped, agree with each other, and wait for a second reading."""
    announced_at: float = 0.0
    """Monotonic seconds of the last event."""
    warned: bool = False
    """Whether an early warning was given, and the runway has not become long again."""
    incident_at: datetime | None = None
    """When the open incident was opened; None without one, or if that was not stored."""
    doubted_at: float = 0.0
    """Monotonic seconds of `doubted`."""
    told: ReserveSnapshot | None = None
    """The snapshot of the last conclusive check, doubted or not; None before the first."""

    @property
    def believed_equity_parts(self) -> EquityParts | None:
        """The parts of the believed equity; None when there is none, or its source reports none."""
        good = self.good
        return good.equity_parts if good is not None and self.believed_equity is not None else None

    @property
    def input_age(self) -> float:
        """The age in seconds of the oldest input of the last conclusive check, at that check."""
        return self.told.input_age if self.told is not None else 0.0

    def age_at(self, monotonic: float) -> float:
        """Return the age in seconds of the oldest input of what is certain, at a time in monotonic seconds."""
        return monotonic - self.good_at + self.input_age

    @property
    def incident_severity(self) -> ReserveStatus | None:
        """LOW or CRITICAL while an incident is open, also while the status is UNKNOWN."""
        return self.known if self.incident_id is not None else None


class Step(NamedTuple):
    """The result of one snapshot."""

    state: TrackerState
    """The state for the next snapshot."""
    event: ReserveEvent | None
    """The event to raise, if any."""
    conclusive: bool
    """Whether the snapshot has a status that may be believed."""
    recheck: bool
    """Whether to read again at once, because the reading jumped and something waits for it. Only once: if the second
    reading asks again, or is no newer observation, the next regular check will do."""

    @property
    def actionable(self) -> bool:
        """Whether a refill may be decided on the snapshot: it is conclusive, and its amounts are not doubted."""
        return self.conclusive and self.state.doubted is None
