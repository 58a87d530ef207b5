"""Queries for people: events and their deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Row, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import FailureReason, StoreError
from reservd.reserve.explanation import Explanation
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.letters import UnreadableEvent, as_of_now, decode_event, is_of_status
from reservd.store.tables import deliveries, events, redeliveries
from reservd.wire.events import DeliveryState


class Delivery(NamedTuple):
    """The state of an event's delivery to one sink."""

    sink: str
    state: DeliveryState
    attempts: int
    """Attempts since it was decided, or since an operator asked for redelivery."""
    tried_at: datetime | None
    """The last attempt; None before the first."""
    reason: FailureReason | None
    """Why the last attempt failed; None if it did not."""
    detail: str
    """Details for people; they may contain any text from the other side."""


class StoredEvent(NamedTuple):
    """An event and its deliveries."""

    position: int
    """The position among all events of the store, in order of decision."""
    event: AnyEvent
    """As it would be sent now: `superseded` when a later change of its mode is known."""
    deliveries: tuple[Delivery, ...]
    """By the names of the sinks; empty when it was routed to none."""
    explanation: Explanation | None = None
    """The inputs of the check that led to it, if the event is loaded by its id; None if they were not stored."""


class DeadLetter(NamedTuple):
    """An event that a sink will not receive unless an operator redelivers it."""

    event: AnyEvent | UnreadableEvent
    delivery: Delivery


async def load_newest_events(
    connection: AsyncConnection,
    limit: int,
    mode: str | None = None,
    event_type: str | None = None,
    before: int | None = None,
) -> list[StoredEvent]:
    """Return up to `limit` events, newest first, optionally of one mode, of one type, or before a position.

    Events about requests for refills are left out unless their type is asked for. Events that cannot be read are left
    out.
    """
    of_type = is_of_status() if event_type is None else events.c.type == str(event_type)
    wanted = select(events.c.position, events.c.type, events.c.event).where(of_type)
    wanted = wanted.order_by(events.c.position.desc())
    if mode is not None:
        wanted = wanted.where(events.c.mode == mode)
    found: list[StoredEvent] = []
    while (lacking := limit - len(found)) > 0:
        older = wanted if before is None else wanted.where(events.c.position < before)
        rows = (await connection.execute(older.limit(lacking))).all()
        found += await _with_deliveries(connection, rows)
        if len(rows) < lacking:
            break
        before = rows[-1].position
    return found


async def load_event(connection: AsyncConnection, event_id: str) -> StoredEvent | None:
    """Return the event with a complete id; None when there is none.

    Raises:
        StoreError: If it cannot be read.
    """
    wanted = select(events.c.position, events.c.type, events.c.event, events.c.explanation)
    row = (await connection.execute(wanted.where(events.c.id == event_id))).one_or_none()
    if row is None:
        return None
    found = next(iter(await _with_deliveries(connection, [row])), None)
    if found is None:
        raise StoreError(f"this version of reservd cannot read the event {event_id}")
    return found._replace(explanation=_explanation(row.explanation))


async def find_position(connection: AsyncConnection, event_id: str) -> int | None:
    """Return the position of the event with a complete id; None when there is none."""
    found: int | None = await connection.scalar(select(events.c.position).where(events.c.id == event_id))
    return found


async def has_all_after(connection: AsyncConnection, position: int) -> bool:
    """Return whether the store still has every event after a position, up to its newest event.

    An event that is pending for a sink is kept longer than the events after it.
    """
    after = select(func.count(), func.max(events.c.position)).where(events.c.position > position)
    number, newest = (await connection.execute(after)).one()
    return newest is None or bool(number == newest - position)


async def find_event_ids(connection: AsyncConnection, prefix: str, limit: int) -> list[str]:
    """Return up to `limit` ids that start with a prefix, in order. Case matters, on every database."""
    begins = func.substr(events.c.id, 1, len(prefix)) == prefix
    wanted = select(events.c.id).where(begins).order_by(events.c.id)
    return list(await connection.scalars(wanted.limit(limit)))


async def load_dead_letters(connection: AsyncConnection, limit: int, sink: str | None = None) -> list[DeadLetter]:
    """Return up to `limit` dead letters, newest first, optionally of one sink."""
    # A literal: SQLite uses a partial index only if the condition is the very one of the index.
    is_dead = deliveries.c.state == literal_column("'dead'")
    wanted = (
        select(events.c.position, events.c.id, events.c.mode, events.c.type, events.c.event, *_OF_DELIVERY)
        .join(deliveries, deliveries.c.position == events.c.position)
        .where(is_dead)
        .order_by(deliveries.c.position.desc(), deliveries.c.sink)
        .limit(limit)
    )
    if sink is not None:
        wanted = wanted.where(deliveries.c.sink == sink)
    rows = (await connection.execute(wanted)).all()
    current = await _as_of_now(connection, rows)
    return [
        DeadLetter(event or UnreadableEvent(row.id, row.mode), _delivery(row))
        for row, event in zip(rows, current, strict=True)
    ]


async def load_asked_sinks(connection: AsyncConnection, position: int) -> frozenset[str]:
    """Return the sinks to which an operator asked to redeliver an event, if the owner has not processed that yet."""
    return frozenset(
        await connection.scalars(select(redeliveries.c.sink).where(redeliveries.c.position == position).distinct())
    )


_EXPLANATION = TypeAdapter(Explanation)
_OF_DELIVERY = [deliveries.c[name] for name in ("sink", "state", "attempts", "tried_at", "reason", "detail")]


async def _with_deliveries(connection: AsyncConnection, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[StoredEvent]:
    positions = [row.position for row in rows]
    by_position: dict[int, list[Delivery]] = {position: [] for position in positions}
    wanted = select(deliveries.c.position, *_OF_DELIVERY).where(deliveries.c.position.in_(positions))
    for row in await connection.execute(wanted.order_by(deliveries.c.sink)):
        by_position[row.position].append(_delivery(row))
    current = await _as_of_now(connection, rows)
    return [
        StoredEvent(position, event, tuple(by_position[position]))
        for position, event in zip(positions, current, strict=True)
        if event is not None
    ]


async def _as_of_now(connection: AsyncConnection, rows: Sequence[Row[*tuple[object, ...]]]) -> list[AnyEvent | None]:
    return await as_of_now(connection, [decode_event(row.type, row.event) for row in rows])


def _explanation(text: str | None) -> Explanation | None:
    try:
        return _EXPLANATION.validate_json(text) if text is not None else None
    except ValidationError:
        # Another version wrote it, or it holds a plugin's value that is not valid text: show the event anyway.
        return None


def _delivery(row: Row[*tuple[object, ...]]) -> Delivery:
    return Delivery(
        row.sink,
        DeliveryState(row.state),
        row.attempts,
        row.tried_at if row.attempts else None,  # a silenced or superseded delivery has the time of that
        FailureReason(row.reason) if row.reason is not None else None,
        row.detail or "",
    )
