"""Wraps reserve events in CloudEvents envelopes."""

from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import AnyEvent, ReplenishmentEvent
from reservd.wire.envelope import CloudEvent, ReplenishmentMessage

SCHEMA_VERSION = 1


def wrap_any(event: AnyEvent) -> CloudEvent | ReplenishmentMessage:
    """Return the message of an event of either kind, without an epoch: see `wrap`."""
    return wrap(event) if isinstance(event, ReserveEvent) else wrap_change(event)


def wrap(event: ReserveEvent, epoch: int | None = None) -> CloudEvent:
    """Return the message that a consumer receives. Its id is the event's own, and therefore the same on every send.

    Args:
        event: The event to send.
        epoch: The epoch of the store's owner that sends it; None if no owner does, or if it is not sent.
    """
    return CloudEvent(
        id=event.id,
        source=f"/reservd/modes/{event.strategy_mode}",
        type=f"reservd.{event.event_type}.v{SCHEMA_VERSION}",
        time=event.timestamp,
        subject=event.strategy_mode,
        sequence=str(event.sequence),
        epoch=epoch,
        data=event,
    )


def wrap_change(event: ReplenishmentEvent, epoch: int | None = None) -> ReplenishmentMessage:
    """Return the message of a change of a request for a refill. It has its own source, and so its own sequence."""
    return ReplenishmentMessage(
        id=event.id,
        source=f"/reservd/modes/{event.strategy_mode}/replenishments",
        type=f"reservd.{event.event_type}.v{SCHEMA_VERSION}",
        time=event.timestamp,
        subject=event.strategy_mode,
        sequence=str(event.sequence),
        epoch=epoch,
        data=event,
    )
