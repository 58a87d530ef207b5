"""A bounded history of snapshots."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.store.encoding import encode
from reservd.store.statements import insert_new
from reservd.store.tables import snapshots


class KeptSnapshot(NamedTuple):
    """The snapshot of a check, and the status that was confirmed at that time."""

    status: ReserveStatus
    snapshot: ReserveSnapshot


async def add_snapshots(connection: AsyncConnection, added: Sequence[KeptSnapshot]) -> None:
    """Store snapshots. A snapshot of the same mode and time that is stored already is kept."""
    await insert_new(connection, snapshots, added, _row)


def _row(kept: KeptSnapshot) -> dict[str, Any]:
    return {
        "mode": kept.snapshot.strategy_mode,
        "taken_at": kept.snapshot.timestamp,
        "status": str(kept.status),
        "snapshot": encode(kept.snapshot),
    }


async def prune_snapshots(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove up to `limit` of the oldest snapshots that were taken before a time. Return how many were removed."""
    keys = (snapshots.c.mode, snapshots.c.taken_at)
    old = select(*keys).where(snapshots.c.taken_at < before).order_by(snapshots.c.taken_at).limit(limit)
    found = [{"of_mode": mode, "at": taken_at} for mode, taken_at in await connection.execute(old)]
    if found:
        # Each by its key: the modes of a cycle share their time, so that one time may match ten thousand rows.
        one = delete(snapshots).where(snapshots.c.mode == bindparam("of_mode"), snapshots.c.taken_at == bindparam("at"))
        await connection.execute(one, found)
    return len(found)
