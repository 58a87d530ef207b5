"""Requests for refills and their changes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel
from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import StoreError
from reservd.reserve.replenishment.event import ReplenishmentChange, ReplenishmentEvent
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState, RequestPlace
from reservd.store.encoding import decode
from reservd.store.statements import insert_new, upsert
from reservd.store.tables import replenishment_changes, replenishments

R = TypeVar("R", bound=BaseModel)


class UnreadableRequest(NamedTuple):
    """A request in the store that this reservd cannot read: another version wrote it, or it was damaged."""

    id: str
    strategy_mode: str


async def save_changes(connection: AsyncConnection, changes: Sequence[ReplenishmentChange]) -> None:
    """Store changes in order, with the resulting records. Changes that are stored already are kept as they are."""
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
    """Store records, in place of the stored ones."""
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


async def load_remembered(connection: AsyncConnection, since: datetime) -> list[Replenishment | UnreadableRequest]:
    """Return the requests that are open or ended after a time, in the order of the requests."""
    matters = or_(replenishments.c.ended_at.is_(None), replenishments.c.ended_at > since)
    wanted = select(replenishments.c.id, replenishments.c.mode, replenishments.c.record).where(matters)
    rows = await connection.execute(wanted.order_by(replenishments.c.requested_at))
    return [decode(Replenishment, row.record) or UnreadableRequest(row.id, row.mode) for row in rows]


async def load_sequences(connection: AsyncConnection) -> dict[str, int]:
    """Return the sequence of the newest change, by mode."""
    mode, sequence = replenishment_changes.c.mode, func.max(replenishment_changes.c.sequence)
    rows = await connection.execute(select(mode, sequence).group_by(mode))
    return {mode: newest for mode, newest in rows}  # noqa: C416  # rows are not pairs to a type checker


async def load_replenishment(connection: AsyncConnection, replenishment_id: str) -> Replenishment | None:
    """Return the request with an id; None when there is none.

    Raises:
        StoreError: If it cannot be read: it must not be taken for a request that does not exist.
    """
    text = await connection.scalar(select(replenishments.c.record).where(replenishments.c.id == replenishment_id))
    if text is None:
        return None
    found = decode(Replenishment, text)
    if found is None:
        why = "another version wrote it, or it was damaged"
        raise StoreError(f"replenishment {replenishment_id} cannot be read: {why}")
    return found


async def load_replenishments(
    connection: AsyncConnection,
    limit: int,
    mode: str | None = None,
    states: Iterable[ReplenishmentState] | None = None,
    before: RequestPlace | None = None,
) -> list[Replenishment]:
    """Return up to `limit` requests, newest first, optionally of one mode, in some states, or before a place.

    Requests that cannot be read are left out.
    """
    made, request_id = replenishments.c.requested_at, replenishments.c.id
    wanted = select(replenishments.c.record).order_by(made.desc(), request_id.desc())
    if mode is not None:
        wanted = wanted.where(replenishments.c.mode == mode)
    if states is not None:
        wanted = wanted.where(replenishments.c.state.in_([str(state) for state in states]))
    if before is not None:
        # Many requests share a time. The first condition is the one that the index serves.
        same_instant = and_(made == before.requested_at, request_id < before.id)
        wanted = wanted.where(made <= before.requested_at, or_(made < before.requested_at, same_instant))
    return _readable(Replenishment, await connection.scalars(wanted.limit(limit)))


async def find_replenishment_ids(connection: AsyncConnection, prefix: str, limit: int) -> list[str]:
    """Return up to `limit` ids that start with a prefix, in order."""
    column = replenishments.c.id
    begins = func.substr(column, 1, len(prefix)) == prefix
    return list(await connection.scalars(select(column).where(begins).order_by(column).limit(limit)))


async def load_changes(connection: AsyncConnection, replenishment_id: str) -> list[ReplenishmentEvent]:
    """Return the changes of a request, in order. Changes that cannot be read are left out."""
    rows = (
        select(replenishment_changes.c.change)
        .where(replenishment_changes.c.replenishment_id == replenishment_id)
        .order_by(replenishment_changes.c.sequence)
    )
    return _readable(ReplenishmentEvent, await connection.scalars(rows))


def _readable(kind: type[R], texts: Iterable[str]) -> list[R]:
    found = [decode(kind, text) for text in texts]
    return [each for each in found if each is not None]
