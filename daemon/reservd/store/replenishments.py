"""Requests for refills, and what became of them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.replenishment_event import ReplenishmentChange, ReplenishmentEvent
from reservd.reserve.replenishment_states import Replenishment, ReplenishmentState, RequestPlace
from reservd.store.statements import insert_new, upsert
from reservd.store.tables import replenishment_changes, replenishments


async def save_changes(connection: AsyncConnection, changes: Sequence[ReplenishmentChange]) -> None:
    """Store changes, in order, and the records as they left them. What is stored already stays as it is."""
    if not changes:
        return
    newest = {change.record.id: change.record for change in changes}
    await save_records(connection, newest.values())
    await insert_new(connection, replenishment_changes, changes, _change_row)


def _change_row(change: ReplenishmentChange) -> dict[str, Any]:
    return {
        "mode": change.event.strategy_mode,
        "sequence": change.event.sequence,
        "replenishment_id": change.record.id,
        "changed_at": change.event.timestamp,
        "change": change.event.model_dump_json(),
    }


async def save_records(connection: AsyncConnection, records: Iterable[Replenishment]) -> None:
    """Store records, in place of what was kept of them."""
    await upsert(connection, replenishments, list(records), _record_row, ("state", "ended_at", "record"))


def _record_row(record: Replenishment) -> dict[str, Any]:
    return {
        "id": record.id,
        "mode": record.request.strategy_mode,
        "state": str(record.state),
        "requested_at": record.request.requested_at,
        "ended_at": None if record.open else record.changed_at,
        "record": record.model_dump_json(),
    }


async def load_remembered(connection: AsyncConnection, since: datetime) -> list[Replenishment]:
    """Return the requests that are open or ended after then, in order of request."""
    matters = or_(replenishments.c.ended_at.is_(None), replenishments.c.ended_at > since)
    rows = select(replenishments.c.record).where(matters).order_by(replenishments.c.requested_at)
    return _records(await connection.scalars(rows))


async def load_sequences(connection: AsyncConnection) -> dict[str, int]:
    """Return the number of the newest change, by mode."""
    mode, sequence = replenishment_changes.c.mode, func.max(replenishment_changes.c.sequence)
    rows = await connection.execute(select(mode, sequence).group_by(mode))
    return {mode: newest for mode, newest in rows}  # noqa: C416  # rows are no pairs to a type checker


async def load_replenishment(connection: AsyncConnection, replenishment_id: str) -> Replenishment | None:
    """Return the request of that id; None when there is none."""
    rows = select(replenishments.c.record).where(replenishments.c.id == replenishment_id)
    found = _records(await connection.scalars(rows))
    return found[0] if found else None


async def load_replenishments(
    connection: AsyncConnection,
    limit: int,
    mode: str | None = None,
    states: Iterable[ReplenishmentState] | None = None,
    before: RequestPlace | None = None,
) -> list[Replenishment]:
    """Return up to `limit` requests, newest first; of one mode, in some states, or before one place, when given."""
    made, request_id = replenishments.c.requested_at, replenishments.c.id
    wanted = select(replenishments.c.record).order_by(made.desc(), request_id.desc())
    if mode is not None:
        wanted = wanted.where(replenishments.c.mode == mode)
    if states is not None:
        wanted = wanted.where(replenishments.c.state.in_([str(state) for state in states]))
    if before is not None:
        # Many are made at one instant. The first condition is what the index serves.
        same_instant = and_(made == before.requested_at, request_id < before.id)
        wanted = wanted.where(made <= before.requested_at, or_(made < before.requested_at, same_instant))
    return _records(await connection.scalars(wanted.limit(limit)))


async def find_replenishment_ids(connection: AsyncConnection, prefix: str, limit: int) -> list[str]:
    """Return up to `limit` ids that begin so, in order."""
    column = replenishments.c.id
    begins = func.substr(column, 1, len(prefix)) == prefix
    return list(await connection.scalars(select(column).where(begins).order_by(column).limit(limit)))


async def load_changes(connection: AsyncConnection, replenishment_id: str) -> list[ReplenishmentEvent]:
    """Return what became of a request, in order."""
    rows = (
        select(replenishment_changes.c.change)
        .where(replenishment_changes.c.replenishment_id == replenishment_id)
        .order_by(replenishment_changes.c.sequence)
    )
    return [ReplenishmentEvent.model_validate_json(change) for change in await connection.scalars(rows)]


def _records(texts: Iterable[str]) -> list[Replenishment]:
    return [Replenishment.model_validate_json(text) for text in texts]
