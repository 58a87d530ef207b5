"""Converts the daemon's state to the responses of its API."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from reservd.delivery.envelope import wrap_any
from reservd.reserve.amounts import ZERO
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment.decision import still_to_come
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.runway import Runway
from reservd.store.queries import StoredEvent
from reservd.web.backend import Duty
from reservd.wire.events import DeliveryView, EventView
from reservd.wire.modes import IncidentView, InFlightView, ModeDetail, ModeView, PolicyView, RunwayView
from reservd.wire.replenishments import ReplenishmentChangeView, ReplenishmentDetail


def show_mode(duty: Duty, mode: str) -> ModeView:
    """Return the state of a mode."""
    return ModeView(**_mode_fields(duty, mode))


def show_mode_detail(duty: Duty, mode: str) -> ModeDetail:
    """Return the state of a mode, with its policy."""
    config = duty.manager.reserve_configs[mode]
    policy = PolicyView(
        reserve_ratio=config.reserve_ratio,
        low_threshold=config.reserve_low_threshold,
        critical_threshold=config.reserve_critical_threshold,
        interval_seconds=config.interval_seconds,
        max_staleness_seconds=config.policy.max_staleness.total_seconds(),
        replenisher=config.reserve_replenisher,
        requests_over_api=duty.replenishments.over_api(mode),
        event_sinks=list(config.reserve_event_sinks),
    )
    return ModeDetail(**_mode_fields(duty, mode), policy=policy)


def show_event(stored: StoredEvent) -> EventView:
    """Return an event with its deliveries, without the sinks' own error texts, which may contain anything."""
    deliveries = [
        DeliveryView(
            sink=each.sink,
            state=each.state,
            attempts=each.attempts,
            tried_at=each.tried_at,
            reason=each.reason,
        )
        for each in stored.deliveries
    ]
    return EventView(event=wrap_any(stored.event), deliveries=deliveries)


def show_replenishment(record: Replenishment, changes: Iterable[ReplenishmentEvent] | None) -> ReplenishmentDetail:
    """Return a request for a refill with its changes.

    Args:
        record: The request as it is now.
        changes: Its changes, in order; None if the store is unavailable.
    """
    shown = [_show_change(each) for each in changes] if changes is not None else None
    return ReplenishmentDetail(**dict(record), changes=shown)


def _show_change(event: ReplenishmentEvent) -> ReplenishmentChangeView:
    return ReplenishmentChangeView(
        state=event.state, at=event.timestamp, by=event.by, detail=event.detail, arrived=event.arrived
    )


def _mode_fields(duty: Duty, mode: str) -> dict[str, object]:
    manager = duty.manager
    latest, kept = manager.latest_snapshot(mode), manager.kept_state(mode)
    good: ReserveSnapshot | None = kept.good
    incident = None
    if kept.incident_id is not None and kept.known is not None:
        incident = IncidentView(id=kept.incident_id, severity=kept.known, opened_at=kept.incident_at)
    confirmed_at: datetime | None = kept.good_at if good is not None else None
    held: Decimal = latest.held if latest is not None else ZERO
    return {
        "mode": mode,
        "share_class": manager.reserve_configs[mode].share_class,
        "status": manager.status(mode),
        "incident": incident,
        "reserve_balance": good.reserve_balance if good is not None else None,
        "target_reserve": good.target_reserve if good is not None else None,
        "utilization": good.reserve_utilization if good is not None else None,
        "shortfall": good.shortfall if good is not None else None,
        "total_equity": good.total_equity if good is not None else None,
        "held": held,
        "runway": _show_runway(manager.runway(mode)),
        "in_flight": _show_in_flight(duty.replenishments.desk.open(mode)),
        "inaction": duty.replenishments.inactions.get(mode),
        "observed_at": good.observed_at if good is not None else None,
        "confirmed_at": confirmed_at,
        "checked_at": latest.timestamp if latest is not None else None,
        "missing": list(latest.missing) if latest is not None else [],
    }


def _show_runway(runway: Runway | None) -> RunwayView | None:
    if runway is None:
        return None
    return RunwayView(low_seconds=runway.low_seconds, critical_seconds=runway.critical_seconds)


def _show_in_flight(requests: Sequence[Replenishment]) -> InFlightView:
    waiting = sum(request.held_back for request in requests)
    return InFlightView(requests=len(requests), awaiting_approval=waiting, amount=still_to_come(requests))
