"""How what the daemon knows becomes the answers of its API."""

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from reservd.delivery.envelope import wrap
from reservd.monitor.manager import ReserveManager
from reservd.reserve.amounts import ZERO
from reservd.reserve.models import ReserveSnapshot
from reservd.store.queries import StoredEvent
from reservd.wire.events import DeliveryView, EventView
from reservd.wire.modes import IncidentView, ModeDetail, ModeView, PolicyView


class Order(BaseModel):
    """What a caller sends: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def show_mode(manager: ReserveManager, mode: str) -> ModeView:
    """Return how a mode stands."""
    return ModeView(**_mode_fields(manager, mode))


def show_mode_detail(manager: ReserveManager, mode: str, *, requests_over_api: bool) -> ModeDetail:
    """Return how a mode stands, with its policy."""
    config = manager.reserve_configs[mode]
    policy = PolicyView(
        reserve_ratio=config.reserve_ratio,
        low_threshold=config.reserve_low_threshold,
        critical_threshold=config.reserve_critical_threshold,
        interval_seconds=config.interval_seconds,
        max_staleness_seconds=config.policy.max_staleness.total_seconds(),
        replenisher=config.reserve_replenisher,
        requests_over_api=requests_over_api,
        event_sinks=list(config.reserve_event_sinks),
    )
    return ModeDetail(**_mode_fields(manager, mode), policy=policy)


def show_event(stored: StoredEvent) -> EventView:
    """Return an event with its deliveries; what sinks answered in words stays out: anything may be in it."""
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
    return EventView(event=wrap(stored.event), deliveries=deliveries)


def _mode_fields(manager: ReserveManager, mode: str) -> dict[str, object]:
    latest, kept = manager.latest_snapshot(mode), manager.kept_state(mode)
    good: ReserveSnapshot | None = kept.good
    incident = None
    if kept.incident_id is not None and kept.known is not None:
        incident = IncidentView(id=kept.incident_id, severity=kept.known)
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
        "observed_at": good.observed_at if good is not None else None,
        "confirmed_at": confirmed_at,
        "checked_at": latest.timestamp if latest is not None else None,
        "missing": list(latest.missing) if latest is not None else [],
    }
