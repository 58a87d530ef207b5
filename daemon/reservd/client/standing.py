"""Converts the API's view of a mode to the domain's own types."""

from reservd.client.asynchronous import AsyncClient
from reservd.errors import ReserveUnknownError
from reservd.reserve.models import EventType, ReserveEvent, ReserveSnapshot, ReserveStatus
from reservd.wire.modes import ModeDetail


def snapshot_of(view: ModeDetail) -> ReserveSnapshot:
    """Return what a daemon knows of a mode: its confirmed status, and the amounts of its last conclusive check.

    Raises:
        ReserveUnknownError: If the mode has not been checked yet.
    """
    if view.checked_at is None:
        raise ReserveUnknownError(f"the reserve of '{view.mode}' is unknown: it has not been checked yet")
    known = view.status is not ReserveStatus.UNKNOWN
    return ReserveSnapshot(
        timestamp=view.checked_at,
        strategy_mode=view.mode,
        share_class=view.share_class,
        total_equity=view.total_equity if known else None,
        reserve_balance=view.reserve_balance if known else None,
        reserve_ratio=view.policy.reserve_ratio,
        target_reserve=view.target_reserve if known else None,
        status=view.status,
        reserve_utilization=view.utilization if known else None,
        observed_at=view.observed_at if known else None,
        missing=tuple(view.missing),
        held=view.held,
    )


async def latest_change(client: AsyncClient, view: ModeDetail) -> ReserveEvent | None:
    """Return the event that announced a mode's status; None without an open incident, or if it was pruned."""
    if view.incident is None:
        return None
    async for told in client.walk(client.list_events, mode=view.mode, event_type=EventType.of(view.status)):
        event = told.event.data
        if not isinstance(event, ReserveEvent) or event.incident_id != view.incident.id:
            return None
        if not event.reminder:
            return event
    return None
