"""Which sinks receive an event, given the incident that it belongs to."""

from collections.abc import Mapping, Sequence

from reservd.delivery.scope import SinkScope
from reservd.delivery.silences import Silences
from reservd.reserve.kept import KeptState
from reservd.reserve.models import ReserveEvent, ReserveStatus
from reservd.reserve.replenishment.event import AnyEvent, ReplenishmentEvent
from reservd.wire.events import DeliveryState


class Recipients:
    """Chooses the sinks of an event, by the incident that the event belongs to.

    Args:
        routes: The sinks of each mode, by mode.
        scopes: Which events each sink is configured to receive.
        silences: The modes whose events are withheld.
    """

    def __init__(
        self, routes: Mapping[str, Sequence[str]], scopes: Mapping[str, SinkScope], silences: Silences
    ) -> None:
        self._routes = routes
        self._scopes = scopes
        self._silences = silences
        self._incidents: dict[str, ReserveStatus | None] = {}

    def resume(self, states: Mapping[str, KeptState]) -> None:
        """Restore the open incidents."""
        self._incidents = {mode: _incident_severity(state) for mode, state in states.items()}

    def of_event(self, event: ReserveEvent, left: KeptState) -> dict[str, DeliveryState]:
        """Return the sinks of an event, each PENDING or SILENCED. `left` is the mode's state after the event."""
        mode = event.strategy_mode
        before = self._incidents.get(mode)
        self._incidents[mode] = _incident_severity(left)
        first = self._first(event)
        return {sink: first for sink in self._routes.get(mode, ()) if self._scopes[sink].wants(event, before)}

    def of_change(self, event: ReplenishmentEvent) -> dict[str, DeliveryState]:
        """Return the sinks of a change of a request for a refill, each PENDING or SILENCED."""
        first = self._first(event)
        routes = self._routes.get(event.strategy_mode, ())
        return {sink: first for sink in routes if self._scopes[sink].wants_change(event)}

    def _first(self, event: AnyEvent) -> DeliveryState:
        silenced = self._silences.cover(event.strategy_mode, event.timestamp)
        return DeliveryState.SILENCED if silenced else DeliveryState.PENDING


def _incident_severity(state: KeptState) -> ReserveStatus | None:
    return state.known if state.incident_id is not None else None
