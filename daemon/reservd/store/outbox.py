"""Stores events and the outcomes of their deliveries, and prunes old ones."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import FailureReason
from reservd.reserve.explanation import Explanation
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.encoding import encode
from reservd.store.letters import is_of_status, is_pending, load_last_change
from reservd.store.statements import insert_new, is_one_of, plan_anew
from reservd.store.tables import deliveries, events
from reservd.wire.events import DeliveryState

_MAX_PLACES = 500
"""Positions named in one statement."""


class OutboxEvent(NamedTuple):
    """An event and its sinks."""

    position: int
    """The position among all events of the store, in order of decision."""
    event: AnyEvent
    sinks: Mapping[str, DeliveryState]
    """PENDING, or SILENCED from the start."""
    explanation: Explanation | None = None
    """The inputs of the check that led to it."""


class Outcome(NamedTuple):
    """The outcome of a delivery attempt."""

    sink: str
    position: int
    state: DeliveryState
    attempts: int
    """The number of attempts so far."""
    tried_at: datetime
    reason: FailureReason | None = None
    detail: str = ""


async def last_position(connection: AsyncConnection) -> int:
    """Return the position of the newest event; 0 when there is none."""
    return (await connection.scalar(select(func.max(events.c.position)))) or 0


async def add_events(connection: AsyncConnection, added: Sequence[OutboxEvent]) -> None:
    """Store events and their deliveries. Those that are stored already are kept as they are."""
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
    """Store the outcomes of deliveries."""
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
    """Store the outcomes of deliveries that succeeded at once, as nearly all do: in few statements, with one time."""
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
            "new_detail": each.detail.replace("\0", " ") or None,  # PostgreSQL does not accept NUL
        }
        for each in outcomes
    ]
    await connection.execute(statement, rows)


async def make_unsaid_wait(connection: AsyncConnection, mode: str) -> int | None:
    """Make a mode's last change pending for every sink from which a silence withheld it.

    Returns:
        The position of the change; None when no sink missed it.
    """
    change = await load_last_change(connection, mode)
    position: int | None = await connection.scalar(
        select(events.c.position).where(events.c.mode == mode, events.c.sequence == change, is_of_status())
    )
    silenced = deliveries.c.state == str(DeliveryState.SILENCED)
    unsaid = update(deliveries).where(deliveries.c.position == position, silenced)
    made = await connection.execute(unsaid.values(state=str(DeliveryState.PENDING), attempts=0))
    return position if made.rowcount else None


async def prune_events(connection: AsyncConnection, before: datetime, limit: int, sinks: Iterable[str]) -> int:
    """Remove up to `limit` of the oldest events before a time that are pending for none of these sinks.

    Returns:
        How many were removed.
    """
    of_event = (deliveries.c.position == events.c.position, deliveries.c.sink.in_(list(sinks)))
    waits = select(deliveries.c.position).where(*of_event, is_pending()).exists()
    old = select(events.c.position).where(events.c.decided_at < before, ~waits).order_by(events.c.decided_at)
    positions = list(await connection.scalars(old.limit(limit)))
    if positions:
        await connection.execute(delete(deliveries).where(deliveries.c.position.in_(positions)))
        await connection.execute(delete(events).where(events.c.position.in_(positions)))
    return len(positions)
