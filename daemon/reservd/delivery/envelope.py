"""Reserve events in their CloudEvents envelope."""

from reservd.plugin.envelope import CloudEvent
from reservd.reserve.models import ReserveEvent

SCHEMA_VERSION = 1


def wrap(event: ReserveEvent) -> CloudEvent:
    """Return the message a consumer receives; its id is the event's own, so the same on every send."""
    return CloudEvent(
        id=event.id,
        source=f"/reservd/modes/{event.strategy_mode}",
        type=f"reservd.{event.event_type}.v{SCHEMA_VERSION}",
        time=event.timestamp,
        subject=event.strategy_mode,
        sequence=str(event.sequence),
        data=event,
    )
