"""Which events a sink is configured to receive."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from reservd.reserve.models import EventType, ReserveEvent, ReserveStatus
from reservd.reserve.replenishment import Urgency
from reservd.reserve.replenishment.event import ReplenishmentEvent

_SEVERITY = {ReserveStatus.LOW: 1, ReserveStatus.UNKNOWN: 1, ReserveStatus.CRITICAL: 2}
"""Missing data is as bad as a low reserve."""


@dataclass(frozen=True, slots=True)
class SinkScope:
    """Which events a sink receives.

    Attributes:
        modes: Patterns of modes, such as `btc_*`.
        events: Types of events; None for all.
        minimum_severity: LOW for all events; CRITICAL for critical events, and for what follows up to their end.
        replenishments: Whether the sink can report requests for refills.
    """

    modes: tuple[str, ...] = ("*",)
    events: frozenset[EventType] | None = None
    minimum_severity: ReserveStatus = ReserveStatus.LOW
    replenishments: bool = False

    def covers(self, mode: str) -> bool:
        """Return whether the sink receives events of a mode at all."""
        return any(fnmatchcase(mode, pattern) for pattern in self.modes)

    def wants(self, event: ReserveEvent, incident_severity: ReserveStatus | None) -> bool:
        """Return whether the sink receives an event.

        Args:
            event: The event.
            incident_severity: The severity of the mode's incident before the event, kept through UNKNOWN; None without
                an incident.
        """
        if self.events is not None and event.event_type not in self.events:
            return False
        # An event that ends an incident is as severe as the incident, or nobody would learn that it ended.
        worst = _worst((event.status, event.previous_status, incident_severity))
        if event.event_type is EventType.RUNWAY_LOW:
            worst = _SEVERITY[ReserveStatus.LOW]
        return worst >= _SEVERITY[self.minimum_severity] and self.covers(event.strategy_mode)

    def wants_change(self, event: ReplenishmentEvent) -> bool:
        """Return whether the sink receives a change of a request for a refill; not if it is limited to some events."""
        if not self.replenishments or self.events is not None:
            return False
        severe = self.minimum_severity is not ReserveStatus.CRITICAL or event.urgency is Urgency.EMERGENCY
        return severe and self.covers(event.strategy_mode)


def _worst(statuses: Iterable[ReserveStatus | None]) -> int:
    return max((_SEVERITY.get(status, 0) for status in statuses if status is not None), default=0)
