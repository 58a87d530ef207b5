"""Reads events back: the pending letters of a sink, and the last event of a mode."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, literal_column, not_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.models import EventType, ReserveEvent
from reservd.reserve.replenishment.event import REPLENISHMENT_CHANGED, AnyEvent, ReplenishmentEvent
from reservd.store.encoding import decode
from reservd.store.tables import deliveries, events


class UnreadableEvent(NamedTuple):
    """An event in the store that this reservd cannot read: another version wrote it, or it was damaged."""

    id: str
    strategy_mode: str


class Stream(NamedTuple):
    """The messages that a sink gets one after the other, as their `sequence` counts them."""

    mode: str
    of_refills: bool = False
    """Whether they are the changes of the mode's requests for refills, and not its events."""


class Letter(NamedTuple):
    """An event that is pending for a sink."""

    position: int
    event: AnyEvent | UnreadableEvent
    attempts: int = 0


class EventPlace(NamedTuple):
    """The position of an event among those of its mode."""

    sequence: int
    decided_at: datetime


class Backlog(NamedTuple):
    """The pending letters of one sink."""

    pending: int
    oldest: datetime


async def load_pending_modes(connection: AsyncConnection, sink: str) -> list[str]:
    """Return the modes with pending letters for a sink."""
    rows = select(deliveries.c.mode).where(deliveries.c.sink == sink, is_pending()).distinct()
    return list(await connection.scalars(rows))


async def load_letters(connection: AsyncConnection, sink: str, stream: Stream, after: int, limit: int) -> list[Letter]:
    """Return the pending letters of a stream for a sink after a position, in order."""
    mode, of_refills = stream
    rows = await connection.execute(
        select(events.c.position, events.c.id, events.c.type, events.c.event, deliveries.c.attempts)
        .join(deliveries, deliveries.c.position == events.c.position)
        .where(deliveries.c.sink == sink, deliveries.c.mode == mode, is_pending(), deliveries.c.position > after)
        .where(not_(is_of_status()) if of_refills else is_of_status())
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

    An event that cannot be read is None.

    Args:
        connection: To the store.
        position: Only events after it.
        limit: The largest number to return.
        modes: Only events of these modes; of all when empty.
    """
    wanted = select(events.c.position, events.c.type, events.c.event).where(events.c.position > position)
    if modes:
        wanted = wanted.where(events.c.mode.in_(modes))
    rows = (await connection.execute(wanted.order_by(events.c.position).limit(limit))).all()
    current = await as_of_now(connection, [decode_event(row.type, row.event) for row in rows])
    return {row.position: event for row, event in zip(rows, current, strict=True)}


async def as_of_now(connection: AsyncConnection, found: Sequence[AnyEvent | None]) -> list[AnyEvent | None]:
    """Return events as they would be sent now: superseded if a later change of their mode is known."""
    modes = {event.strategy_mode for event in found if isinstance(event, ReserveEvent)}
    changes = {mode: await load_last_change(connection, mode) for mode in modes}
    return [
        event.model_copy(update={"superseded": True})
        if isinstance(event, ReserveEvent) and changes[event.strategy_mode] > event.sequence
        else event
        for event in found
    ]


async def load_last_change(connection: AsyncConnection, mode: str) -> int:
    """Return the sequence of a mode's newest event that is a change; 0 when there is none."""
    newest = (
        select(events.c.sequence)
        .where(events.c.mode == mode, events.c.reminder.is_(False), is_of_status())
        .where(events.c.type != str(EventType.RUNWAY_LOW))
        .order_by(events.c.position.desc())
        .limit(1)
    )
    return (await connection.scalar(newest)) or 0


async def load_newest_event(connection: AsyncConnection, mode: str) -> tuple[EventPlace, ReserveEvent | None] | None:
    """Return the place of a mode's newest event, and the event, which is None if it cannot be read."""
    newest = select(events.c.sequence, events.c.decided_at, events.c.event).where(events.c.mode == mode, is_of_status())
    row = (await connection.execute(newest.order_by(events.c.position.desc()).limit(1))).one_or_none()
    return (EventPlace(row.sequence, row.decided_at), decode(ReserveEvent, row.event)) if row is not None else None


async def load_latest_events(connection: AsyncConnection, sink: str, modes: Iterable[str]) -> list[ReserveEvent]:
    """Return the newest event of each mode that was routed to a sink. Modes without one are left out."""
    found: list[ReserveEvent] = []
    for mode in modes:
        newest = (
            select(events.c.event)
            .join(deliveries, deliveries.c.position == events.c.position)
            .where(events.c.mode == mode, is_of_status(), deliveries.c.sink == sink)
        )
        text = await connection.scalar(newest.order_by(events.c.position.desc()).limit(1))
        if text is not None:
            event = decode(ReserveEvent, text)
            found += [event] if event is not None else []
    return found


async def load_mode(connection: AsyncConnection, position: int) -> str | None:
    """Return the mode of an event; None when there is no such event."""
    mode: str | None = await connection.scalar(select(events.c.mode).where(events.c.position == position))
    return mode


async def load_backlogs(connection: AsyncConnection) -> dict[str, Backlog]:
    """Return the backlogs by sink. Sinks without pending letters are missing."""
    heads = (
        select(deliveries.c.sink, func.count().label("pending"), func.min(deliveries.c.position).label("oldest"))
        .where(is_pending())
        .group_by(deliveries.c.sink)
        .subquery()
    )
    rows = await connection.execute(
        select(heads.c.sink, heads.c.pending, events.c.decided_at).join(events, events.c.position == heads.c.oldest)
    )
    return {row.sink: Backlog(row.pending, row.decided_at) for row in rows}


def is_of_status() -> ColumnElement[bool]:
    """Return the condition for reserve events; all other events are changes of requests for refills."""
    return events.c.type != REPLENISHMENT_CHANGED


def decode_event(event_type: str, text: str) -> AnyEvent | None:
    """Return a stored event; None if this reservd cannot read it."""
    if event_type == REPLENISHMENT_CHANGED:
        return decode(ReplenishmentEvent, text)
    return decode(ReserveEvent, text)


def is_pending() -> ColumnElement[bool]:
    """Return the condition for pending deliveries."""
    # A literal: SQLite uses a partial index only if the condition is the very one of the index.
    return deliveries.c.state == literal_column("'pending'")
