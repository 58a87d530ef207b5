"""Holds of accepted withdrawals, and the baselines from which arrivals for them are counted."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import StoreError
from reservd.reserve.holds import GroupReading, Hold, HoldState, Unwinding
from reservd.reserve.holds.book import Payout
from reservd.reserve.holds.places import UnreadableHold
from reservd.reserve.withdrawal import WithdrawalSpeed
from reservd.store.statements import is_one_of, plan_anew, upsert
from reservd.store.tables import hold_levels, holds

AnyHold = Hold | UnreadableHold
_UNREADABLE = (ValueError, TypeError, ArithmeticError)
"""What values raise that no reservd wrote, or a newer one."""
_WHAT_CHANGES = (
    "account_group",
    "arrived",
    "state",
    "unwinding",
    "expected_at",
    "overdue_at",
    "ended_at",
    "paid_at",
    "block",
)


async def save_holds(connection: AsyncConnection, changed: Iterable[Hold]) -> None:
    """Store new holds, and the changes of others.

    Raises:
        IntegrityError: If another hold has the key of a new one.
    """
    await upsert(connection, holds, list(changed), _row, _WHAT_CHANGES)


async def save_levels(connection: AsyncConnection, levels: Mapping[str, GroupReading]) -> None:
    """Store levels by group, in place of the stored ones."""
    await upsert(connection, hold_levels, list(levels.items()), _level_row, ("balance", "observed_at", "block"))


async def load_shown(connection: AsyncConnection, since: datetime) -> list[AnyHold]:
    """Return the holds that are open or ended after a time, in order of decision."""
    is_shown = or_(holds.c.ended_at.is_(None), holds.c.ended_at > since)
    return await _read(connection, select(holds).where(is_shown).order_by(holds.c.position))


async def load_payouts(connection: AsyncConnection, since: datetime) -> list[Payout]:
    """Return the payouts that were reported after a time. Holds that cannot be read are left out."""
    wanted = select(holds).where(holds.c.ended_at > since, holds.c.state == str(HoldState.SETTLED))
    found = readable(await _read(connection, wanted))
    return [
        Payout(each.mode, each.currency, each.position, each.amount, each.left_at, each.block)
        for each in found
        if each.left_at is not None
    ]


async def load_levels(connection: AsyncConnection) -> dict[str, GroupReading]:
    """Return the levels by group, including groups whose holds no longer wait for money."""
    rows = await connection.execute(select(hold_levels))
    return {row.account_group: GroupReading(row.balance, row.observed_at, row.block) for row in rows}


async def load_accepted(connection: AsyncConnection, mode: str, currency: str, since: datetime) -> list[AnyHold]:
    """Return the holds that a mode accepted in a currency after a time and did not cancel, in order of decision."""
    wanted = select(holds).where(holds.c.mode == mode, holds.c.currency == currency, holds.c.decided_at > since)
    return await _read(connection, wanted.where(holds.c.state != str(HoldState.CANCELLED)).order_by(holds.c.position))


async def load_by_keys(connection: AsyncConnection, keys: Collection[tuple[str, str]]) -> list[AnyHold]:
    """Return the holds with these keys. Each is a pair of mode and key."""
    if not keys:
        return []
    await plan_anew(connection)
    # By key alone, which is nearly unique: SQLite would scan the whole table to compare pairs.
    wanted = select(holds).where(is_one_of(connection, holds.c.key, {key for _, key in keys}))
    return [hold for hold in await _read(connection, wanted) if (hold.mode, hold.key) in keys]


async def load_by_ids(connection: AsyncConnection, ids: Collection[str]) -> list[AnyHold]:
    """Return the holds with these ids."""
    if not ids:
        return []
    wanted = select(holds).where(is_one_of(connection, holds.c.id, ids)).order_by(holds.c.position)
    return await _read(connection, wanted)


async def load_hold(connection: AsyncConnection, hold_id: str) -> Hold | None:
    """Return the hold with an id; None when there is none.

    Raises:
        StoreError: If it cannot be read: it must not be taken for a hold that does not exist.
    """
    for found in await load_by_ids(connection, [hold_id]):
        if isinstance(found, UnreadableHold):
            raise StoreError(f"withdrawal {hold_id} cannot be read: another version wrote it, or it was damaged")
        return found
    return None


async def find_hold_ids(connection: AsyncConnection, prefix: str, limit: int) -> list[str]:
    """Return up to `limit` ids that start with a prefix, in order."""
    begins = func.substr(holds.c.id, 1, len(prefix)) == prefix
    return list(await connection.scalars(select(holds.c.id).where(begins).order_by(holds.c.id).limit(limit)))


async def load_holds(
    connection: AsyncConnection,
    mode: str | None = None,
    states: Collection[HoldState] | None = None,
    *,
    limit: int,
    before: int | None = None,
) -> list[Hold]:
    """Return holds, newest first. Holds that cannot be read are left out.

    Args:
        connection: To the store.
        mode: Only holds of this mode.
        states: Only holds in these states.
        limit: The largest number to return.
        before: Only holds at a lower position, which is that of the last hold on the previous page.
    """
    wanted = select(holds).order_by(holds.c.position.desc()).limit(limit)
    if mode is not None:
        wanted = wanted.where(holds.c.mode == mode)
    if states is not None:
        wanted = wanted.where(holds.c.state.in_([str(state) for state in states]))
    if before is not None:
        wanted = wanted.where(holds.c.position < before)
    return readable(await _read(connection, wanted))


async def load_waiting(connection: AsyncConnection, groups: Collection[str]) -> list[Hold]:
    """Return the holds on these groups of accounts that wait for money, in order of decision."""
    is_open = (holds.c.ended_at.is_(None), holds.c.unwinding != str(Unwinding.NONE))
    wanted = select(holds).where(holds.c.account_group.in_(groups), *is_open).order_by(holds.c.position)
    return [hold for hold in readable(await _read(connection, wanted)) if hold.outstanding]


async def last_position(connection: AsyncConnection) -> int:
    """Return the position of the newest hold; 0 when there is none."""
    newest = select(holds.c.position).order_by(holds.c.position.desc()).limit(1)
    return (await connection.scalar(newest)) or 0


def readable(found: Iterable[AnyHold]) -> list[Hold]:
    """Return the holds that could be read."""
    return [each for each in found if isinstance(each, Hold)]


def unreadable(found: Iterable[AnyHold]) -> list[UnreadableHold]:
    """Return the holds that could not be read."""
    return [each for each in found if isinstance(each, UnreadableHold)]


_COLUMNS = {field.name: "account_group" if field.name == "group" else field.name for field in fields(Hold)}


def _row(hold: Hold) -> dict[str, Any]:
    values = {column: getattr(hold, name) for name, column in _COLUMNS.items()}
    # The databases' drivers do not support enumerations.
    return {**values, "speed": str(hold.speed), "state": str(hold.state), "unwinding": str(hold.unwinding)}


def _level_row(level: tuple[str, GroupReading]) -> dict[str, Any]:
    group, reading = level
    return {
        "account_group": group,
        "balance": reading.balance,
        "observed_at": reading.observed_at,
        "block": reading.block,
    }


async def _read(connection: AsyncConnection, wanted: Select[Any]) -> list[AnyHold]:
    """Return holds. If one cannot be read, read all of them one by one, so that only that one is lost."""
    try:
        return [_hold(row) for row in (await connection.execute(wanted)).mappings()]
    except _UNREADABLE:
        names = (holds.c.id, holds.c.mode, holds.c.key, holds.c.account_group)
        rows = (await connection.execute(wanted.with_only_columns(*names))).all()
    found: list[AnyHold] = []
    for row in rows:
        try:
            found.append(_hold((await connection.execute(select(holds).where(holds.c.id == row.id))).mappings().one()))
        except _UNREADABLE:
            found.append(UnreadableHold(*row))
    return found


def _hold(row: RowMapping) -> Hold:
    values = {name: row[column] for name, column in _COLUMNS.items()}
    values["speed"] = WithdrawalSpeed(row["speed"])
    values["state"] = HoldState(row["state"])
    values["unwinding"] = Unwinding(row["unwinding"])
    hold = Hold(**values)
    if not all(amount.is_finite() for amount in (hold.amount, hold.from_reserve, hold.unwound, hold.arrived)):
        raise ValueError(f"withdrawal {hold.id} has an amount that is not a number")
    return hold
