"""Events, and what became of each at each sink."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError
from sqlalchemy import ColumnElement, bindparam, delete, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import FailureReason
from reservd.reserve.explanation import Explanation
from reservd.reserve.models import EventType, ReserveEvent
from reservd.reserve.replenishment_event import REPLENISHMENT_CHANGED, AnyEvent, ReplenishmentEvent
from reservd.store.encoding import encode
from reservd.store.statements import insert_new, is_one_of, plan_anew
from reservd.store.tables import deliveries, events
from reservd.wire.events import DeliveryState

E = TypeVar("E", ReserveEvent, ReplenishmentEvent)

_MAX_PLACES = 500
"""Positions named in one statement."""


class OutboxEvent(NamedTuple):
    """An event and where it is to go."""

    position: int
    """Counts all events of the store, in the order of decision."""
    event: AnyEvent
    sinks: Mapping[str, DeliveryState]
    """PENDING, or SILENCED from the start."""
    explanation: Explanation | None = None
    """What the check was made of that led to it."""


class Outcome(NamedTuple):
    """What an attempt at a delivery came to."""

    sink: str
    position: int
    state: DeliveryState
    attempts: int
    """All that were made so far."""
    tried_at: datetime
    reason: FailureReason | None = None
    detail: str = ""


class UnreadableEvent(NamedTuple):
    """An event in the store that this reservd cannot read: another version wrote it, or it was damaged."""

    id: str
    strategy_mode: str


class Letter(NamedTuple):
    """An event that waits for a sink."""

    position: int
    event: AnyEvent | UnreadableEvent
    attempts: int = 0


class EventPlace(NamedTuple):
    """Where an event stands among those of its mode."""

    sequence: int
    decided_at: datetime


class Backlog(NamedTuple):
    """What waits for one sink."""

    pending: int
    oldest: datetime


async def last_position(connection: AsyncConnection) -> int:
    """Return the position of the newest event; 0 when there is none."""
    return (await connection.scalar(select(func.max(events.c.position)))) or 0


async def add_events(connection: AsyncConnection, added: Sequence[OutboxEvent]) -> None:
    """Store events and their deliveries. What is stored already stays as it is."""
    await insert_new(connection, events, added, _row)
    targets = [
        {"sink": sink, "position": each.position, "mode": each.event.strategy_mode, "state": str(state)}
        for each in added
        for sink, state in each.sinks.items()
    ]
    await insert_new(connection, deliveries, targets, dict)


def _row(added: OutboxEvent) -> dict[str, Any]:
    return {
        "position": added.position,
        "id": added.event.id,
        "mode": added.event.strategy_mode,
        "sequence": added.event.sequence,
        "type": str(added.event.event_type),
        "reminder": added.event.reminder,
        "decided_at": added.event.timestamp,
        "event": added.event.model_dump_json(),
        "explanation": encode(added.explanation) if added.explanation is not None else None,
    }


async def record_outcomes(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    """Note what became of deliveries."""
    taken: dict[str, list[Outcome]] = {}
    others: list[Outcome] = []
    for each in outcomes:
        if each.state is DeliveryState.DELIVERED and each.attempts == 1:
            taken.setdefault(each.sink, []).append(each)
        else:
            others.append(each)
    if taken:
        await plan_anew(connection)
    for sink, each_taken in taken.items():
        await _record_taken(connection, sink, each_taken)
    if others:
        await _record_one_by_one(connection, others)


async def _record_taken(connection: AsyncConnection, sink: str, outcomes: Sequence[Outcome]) -> None:
    """Note those that a sink took at once, which nearly all are: in few statements, at one moment."""
    for start in range(0, len(outcomes), _MAX_PLACES):
        some = outcomes[start : start + _MAX_PLACES]
        await connection.execute(
            update(deliveries)
            .where(
                deliveries.c.sink == sink,
                is_one_of(connection, deliveries.c.position, [each.position for each in some]),
            )
            .values(state=str(DeliveryState.DELIVERED), attempts=1, tried_at=some[-1].tried_at)
        )


async def _record_one_by_one(connection: AsyncConnection, outcomes: Sequence[Outcome]) -> None:
    statement = (
        update(deliveries)
        .where(deliveries.c.sink == bindparam("of_sink"), deliveries.c.position == bindparam("of_position"))
        .values({name: bindparam(f"new_{name}") for name in ("state", "attempts", "tried_at", "reason", "detail")})
    )
    rows = [
        {
            "of_sink": each.sink,
            "of_position": each.position,
            "new_state": str(each.state),
            "new_attempts": each.attempts,
            "new_tried_at": each.tried_at,
            "new_reason": str(each.reason) if each.reason is not None else None,
            "new_detail": each.detail.replace("\0", " ") or None,  # PostgreSQL takes no NUL
        }
        for each in outcomes
    ]
    await connection.execute(statement, rows)


async def load_pending_modes(connection: AsyncConnection, sink: str) -> list[str]:
    """Return the modes of which something waits for a sink."""
    rows = select(deliveries.c.mode).where(deliveries.c.sink == sink, _is_pending()).distinct()
    return list(await connection.scalars(rows))


async def load_letters(connection: AsyncConnection, sink: str, mode: str, after: int, limit: int) -> list[Letter]:
    """Return what waits for a sink of one mode, in order, after a position."""
    rows = await connection.execute(
        select(events.c.position, events.c.id, events.c.type, events.c.event, deliveries.c.attempts)
        .join(deliveries, deliveries.c.position == events.c.position)
        .where(deliveries.c.sink == sink, deliveries.c.mode == mode, _is_pending(), deliveries.c.position > after)
        .order_by(deliveries.c.position)
        .limit(limit)
    )
    return [
        Letter(row.position, decode_event(row.type, row.event) or UnreadableEvent(row.id, mode), row.attempts)
        for row in rows
    ]


async def load_events_after(
    connection: AsyncConnection, position: int, limit: int, modes: Sequence[str] = ()
) -> dict[int, AnyEvent | None]:
    """Return up to `limit` events after a position, by position, oldest first, as they would be sent now.

    Of one that cannot be read there is None.

    Args:
        connection: To the store.
        position: Only events after it.
        limit: At most so many.
        modes: Only of these; of all when empty.
    """
    wanted = select(events.c.position, events.c.type, events.c.event).where(events.c.position > position)
    if modes:
        wanted = wanted.where(events.c.mode.in_(modes))
    rows = (await connection.execute(wanted.order_by(events.c.position).limit(limit))).all()
    current = await as_of_now(connection, [decode_event(row.type, row.event) for row in rows])
    return {row.position: event for row, event in zip(rows, current, strict=True)}


async def as_of_now(connection: AsyncConnection, found: Sequence[AnyEvent | None]) -> list[AnyEvent | None]:
    """Return events as they would be sent now: superseded where a later change of their mode is known."""
    modes = {event.strategy_mode for event in found if isinstance(event, ReserveEvent)}
    changes = {mode: await load_last_change(connection, mode) for mode in modes}
    return [
        event.model_copy(update={"superseded": True})
        if isinstance(event, ReserveEvent) and changes[event.strategy_mode] > event.sequence
        else event
        for event in found
    ]


async def load_last_change(connection: AsyncConnection, mode: str) -> int:
    """Return the sequence of a mode's newest event that tells of a change; 0 when there is none."""
    newest = (
        select(events.c.sequence)
        .where(events.c.mode == mode, events.c.reminder.is_(False), is_of_status())
        .where(events.c.type != str(EventType.RUNWAY_LOW))
        .order_by(events.c.position.desc())
        .limit(1)
    )
    return (await connection.scalar(newest)) or 0


async def load_newest_event(connection: AsyncConnection, mode: str) -> tuple[EventPlace, ReserveEvent | None] | None:
    """Return the newest event of a mode and where it stands; without the event where it cannot be read."""
    newest = select(events.c.sequence, events.c.decided_at, events.c.event).where(events.c.mode == mode, is_of_status())
    row = (await connection.execute(newest.order_by(events.c.position.desc()).limit(1))).one_or_none()
    return (EventPlace(row.sequence, row.decided_at), _decode(ReserveEvent, row.event)) if row is not None else None


async def load_latest_events(connection: AsyncConnection, sink: str, modes: Iterable[str]) -> list[ReserveEvent]:
    """Return of each mode the newest event that a sink was to hear of, if there is one."""
    found: list[ReserveEvent] = []
    for mode in modes:
        newest = (
            select(events.c.event)
            .join(deliveries, deliveries.c.position == events.c.position)
            .where(events.c.mode == mode, is_of_status(), deliveries.c.sink == sink)
        )
        text = await connection.scalar(newest.order_by(events.c.position.desc()).limit(1))
        if text is not None:
            event = _decode(ReserveEvent, text)
            found += [event] if event is not None else []
    return found


async def make_unsaid_wait(connection: AsyncConnection, mode: str) -> int | None:
    """Make the last change of a mode wait for every sink from which a silence kept it.

    Returns:
        Its position; None when no sink was kept from it.
    """
    change = await load_last_change(connection, mode)
    position: int | None = await connection.scalar(
        select(events.c.position).where(events.c.mode == mode, events.c.sequence == change, is_of_status())
    )
    silenced = deliveries.c.state == str(DeliveryState.SILENCED)
    unsaid = update(deliveries).where(deliveries.c.position == position, silenced)
    made = await connection.execute(unsaid.values(state=str(DeliveryState.PENDING), attempts=0))
    return position if made.rowcount else None


async def load_mode(connection: AsyncConnection, position: int) -> str | None:
    """Return the mode of an event; None when there is no such event."""
    mode: str | None = await connection.scalar(select(events.c.mode).where(events.c.position == position))
    return mode


async def load_backlogs(connection: AsyncConnection) -> dict[str, Backlog]:
    """Return what waits, by sink; sinks that nothing waits for are not there."""
    heads = (
        select(deliveries.c.sink, func.count().label("pending"), func.min(deliveries.c.position).label("oldest"))
        .where(_is_pending())
        .group_by(deliveries.c.sink)
        .subquery()
    )
    rows = await connection.execute(
        select(heads.c.sink, heads.c.pending, events.c.decided_at).join(events, events.c.position == heads.c.oldest)
    )
    return {row.sink: Backlog(row.pending, row.decided_at) for row in rows}


async def prune_events(connection: AsyncConnection, before: datetime, limit: int, sinks: Iterable[str]) -> int:
    """Remove up to `limit` of the oldest events that were decided before then and wait for none of these sinks.

    Returns:
        How many were removed.
    """
    of_event = (deliveries.c.position == events.c.position, deliveries.c.sink.in_(list(sinks)))
    waits = select(deliveries.c.position).where(*of_event, _is_pending()).exists()
    old = select(events.c.position).where(events.c.decided_at < before, ~waits).order_by(events.c.decided_at)
    positions = list(await connection.scalars(old.limit(limit)))
    if positions:
        await connection.execute(delete(deliveries).where(deliveries.c.position.in_(positions)))
        await connection.execute(delete(events).where(events.c.position.in_(positions)))
    return len(positions)


def is_of_status() -> ColumnElement[bool]:
    """Return the condition of reserve events; the others tell of requests for refills."""
    return events.c.type != REPLENISHMENT_CHANGED


def decode_event(event_type: str, text: str) -> AnyEvent | None:
    """Return an event as it was stored; None where this reservd cannot read it."""
    if event_type == REPLENISHMENT_CHANGED:
        return _decode(ReplenishmentEvent, text)
    return _decode(ReserveEvent, text)


def _decode(kind: type[E], text: str) -> E | None:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        return None


def _is_pending() -> ColumnElement[bool]:
    # Spelt out: SQLite looks into a partial index only for the very condition that it is made with.
    return deliveries.c.state == literal_column("'pending'")
