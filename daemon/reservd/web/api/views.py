"""What the API tells: the shapes of its answers. Amounts are decimal strings, times ISO 8601 in UTC."""

from datetime import datetime
from decimal import Decimal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from reservd.delivery.envelope import wrap
from reservd.errors import FailureReason
from reservd.monitor.manager import ReserveManager
from reservd.plugin.envelope import CloudEvent
from reservd.reserve.amounts import ZERO
from reservd.reserve.models import PlainDecimal, ReserveSnapshot, ReserveStatus
from reservd.store.outbox import DeliveryState
from reservd.store.queries import StoredEvent


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(use_attribute_docstrings=True, frozen=True)


class Order(BaseModel):
    """What a caller sends: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class IncidentView(View):
    """An incident that is open."""

    id: str
    severity: ReserveStatus
    """`low` or `critical`; stays while the status is unknown."""


class ModeView(View):
    """How one mode's reserve stands. Amounts are of the last conclusive check, and null before one."""

    mode: str
    share_class: str
    """The currency; amounts are whole units of it."""
    status: ReserveStatus
    """The confirmed one."""
    incident: IncidentView | None
    reserve_balance: PlainDecimal | None
    """What can be paid out now, holds taken off."""
    target_reserve: PlainDecimal | None
    utilization: PlainDecimal | None
    """Coverage of the target: 1 is at target. Null when the target is 0 or unknown."""
    shortfall: PlainDecimal | None
    """What lacks to the target, never below 0."""
    total_equity: PlainDecimal | None
    held: PlainDecimal
    """Promised to accepted withdrawals."""
    observed_at: AwareDatetime | None
    """When the oldest input of these amounts was true at its source."""
    confirmed_at: AwareDatetime | None
    """The last conclusive check; null before one."""
    checked_at: AwareDatetime | None
    """The last check, conclusive or not."""
    missing: list[str]
    """What the last check could not read, a line each."""


class PolicyView(View):
    """What a mode's owner decided."""

    reserve_ratio: PlainDecimal
    low_threshold: PlainDecimal
    critical_threshold: PlainDecimal
    interval_seconds: float
    max_staleness_seconds: float
    replenisher: str | None
    event_sinks: list[str]


class ModeDetail(ModeView):
    """The same, with the mode's policy."""

    policy: PolicyView


class ModePage(View):
    """Some modes, by name."""

    items: list[ModeView]
    next_cursor: str | None
    """For the next page; null on the last."""


class DeliveryView(View):
    """What became of an event at one sink."""

    sink: str
    state: DeliveryState
    attempts: int
    tried_at: AwareDatetime | None
    reason: FailureReason | None
    """Why the last attempt failed."""


class EventView(View):
    """An event as a consumer would receive it now, and its deliveries."""

    event: CloudEvent
    deliveries: list[DeliveryView]


class EventPage(View):
    """Some events, newest first."""

    items: list[EventView]
    next_cursor: int | None
    """For the next page; null on the last."""


def show_mode(manager: ReserveManager, mode: str) -> ModeView:
    """Return how a mode stands."""
    return ModeView(**_mode_fields(manager, mode))


def show_mode_detail(manager: ReserveManager, mode: str) -> ModeDetail:
    """Return how a mode stands, with its policy."""
    config = manager.reserve_configs[mode]
    policy = PolicyView(
        reserve_ratio=config.reserve_ratio,
        low_threshold=config.reserve_low_threshold,
        critical_threshold=config.reserve_critical_threshold,
        interval_seconds=config.interval_seconds,
        max_staleness_seconds=config.policy.max_staleness.total_seconds(),
        replenisher=config.reserve_replenisher,
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
