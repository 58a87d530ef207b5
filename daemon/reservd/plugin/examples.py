"""Example events and requests, for tests and for trying a sink or a replenisher by hand."""

from datetime import UTC, datetime
from decimal import Decimal

from reservd.reserve.models import EventType, ReserveEvent
from reservd.reserve.replenishment import ReplenishmentRequest, Urgency
from reservd.wire.envelope import CloudEvent


def example_event(event_type: EventType = EventType.LOW, event_id: str = "evt-1") -> CloudEvent:
    """Return an event as the daemon sends it. One of type UNKNOWN has no amounts."""
    now = datetime.now(UTC)
    known = event_type is not EventType.UNKNOWN
    data = ReserveEvent(
        event_type=event_type,
        strategy_mode="demo",
        timestamp=now,
        reserve_balance=Decimal("40000.25") if known else None,
        target_reserve=Decimal(50000) if known else None,
        utilization=Decimal("0.800005") if known else None,
        id=event_id,
        sequence=1,
        incident_id="inc-1" if event_type is not EventType.RUNWAY_LOW else None,
        status=event_type.status,
        currency="USDT",
        total_equity=Decimal(1_000_000) if known else None,
        shortfall=Decimal("9999.75") if known else None,
        observed_at=now if known else None,
        reason="an example",
    )
    return CloudEvent(
        id=event_id,
        source="/reservd/modes/demo",
        type=f"reservd.{event_type}.v1",
        time=now,
        subject="demo",
        sequence="1",
        epoch=1,
        data=data,
    )


def example_request(mode: str = "demo", currency: str = "USDT", request_id: str = "req-1") -> ReplenishmentRequest:
    """Return a request as the daemon makes it."""
    return ReplenishmentRequest(
        id=request_id,
        strategy_mode=mode,
        amount=Decimal("14999.75"),
        currency=currency,
        urgency=Urgency.FAST,
        requested_at=datetime.now(UTC),
        incident_id="inc-1",
        reason="an example",
        epoch=1,
    )
