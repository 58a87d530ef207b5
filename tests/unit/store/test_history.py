"""The history of snapshots, and the removal of old ones."""

from datetime import timedelta

from sqlalchemy import func, select

from reservd.reserve.models import ReserveStatus
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot, add_snapshots, prune_snapshots
from reservd.store.schema import upgrade
from reservd.store.tables import snapshots
from support.reserve import NOON, make_policy, make_snapshot


def taken(mode: str, minute: int) -> KeptSnapshot:
    found = make_snapshot(make_policy(mode=mode), 110)
    return KeptSnapshot(ReserveStatus.ADEQUATE, found._replace(timestamp=NOON + timedelta(minutes=minute)))


async def count(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(snapshots)) or 0


async def test_old_snapshots_go_a_few_at_a_time_though_all_modes_share_a_moment(database: Database) -> None:
    """A cycle checks ten thousand modes at once: removing all of its snapshots together would block the store."""
    await upgrade(database)
    async with database.write() as connection:
        await add_snapshots(connection, [taken(f"m{mode}", minute) for minute in (0, 1, 2) for mode in range(10)])
    left = []
    for _ in range(8):
        async with database.write() as connection:
            removed = await prune_snapshots(connection, NOON + timedelta(minutes=2), 3)
        left.append((removed, await count(database)))
    assert left == [(3, 27), (3, 24), (3, 21), (3, 18), (3, 15), (3, 12), (2, 10), (0, 10)]
    async with database.read() as connection:
        assert await connection.scalar(select(func.min(snapshots.c.taken_at))) == NOON + timedelta(minutes=2)
