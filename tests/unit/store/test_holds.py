"""Holds in the store: exact, one per key, found by index."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Text, inspect, literal, text
from sqlalchemy.engine import Connection

from reservd.errors import StoreError
from reservd.reserve.holds import HoldState, Unwinding, cancel, mark_paying, settle
from reservd.reserve.holds.places import UnreadableHold
from reservd.store.account_groups import load_accounts, save_accounts
from reservd.store.database import Database
from reservd.store.holds import (
    last_position,
    load_accepted,
    load_by_ids,
    load_by_keys,
    load_hold,
    load_holds,
    load_levels,
    load_shown,
    save_holds,
    save_levels,
)
from reservd.store.schema import upgrade
from reservd.store.tables import account_groups, hold_levels, holds
from support.holds import accounts_of, make_hold, read
from support.reserve import NOON

MINUTE = timedelta(minutes=1)
TINY = Decimal(1).scaleb(-60)


async def test_hold_comes_back_as_it_was(database: Database) -> None:
    await upgrade(database)
    hold = replace(make_hold(1, TINY, 10**40), expected_at=NOON, snapshot_at=NOON - MINUTE, unwinding=Unwinding.ASKED)
    ended = settle(mark_paying(make_hold(2)), NOON + MINUTE, block=2**40, paid_at=NOON)
    async with database.write() as connection:
        await save_holds(connection, [])
        await save_holds(connection, [hold, ended])
    async with database.read() as connection:
        assert await load_by_ids(connection, ["h-1", "h-2", "none"]) == [hold, ended]
        assert await load_by_keys(connection, [("m", "k-2"), ("other", "k-1")]) == [ended]
        assert await load_by_ids(connection, []) == await load_by_keys(connection, []) == []
        assert await last_position(connection) == 2


async def test_hold_changes_what_may_change_and_nothing_else(database: Database) -> None:
    await upgrade(database)
    hold = make_hold(1, 5, 5)
    changed = replace(
        cancel(hold, NOON), arrived=Decimal(2), unwinding=Unwinding.REFUSED, overdue_at=NOON, expected_at=NOON
    )
    for state in (hold, replace(changed, amount=Decimal(99), speed=hold.speed, key="other")):
        async with database.write() as connection:
            await save_holds(connection, [state])
    async with database.read() as connection:
        assert await load_by_ids(connection, ["h-1"]) == [changed]
        assert await load_shown(connection, NOON - MINUTE) == [changed]
        assert await load_shown(connection, NOON) == []


@pytest.mark.parametrize(
    ("column", "value"), [("state", "frozen"), ("speed", ""), ("amount", "1O"), ("from_reserve", "NaN")]
)
async def test_hold_that_cannot_be_read_costs_itself_alone(column: str, value: str, database: Database) -> None:
    await upgrade(database)
    async with database.write() as connection:
        await save_holds(connection, [make_hold(1), make_hold(2, group="g")])
        await connection.execute(holds.update().where(holds.c.id == "h-2").values({column: literal(value, Text)}))
    async with database.read() as connection:
        broken = UnreadableHold("h-2", "m", "k-2", "g")
        for found in (
            await load_shown(connection, NOON),
            await load_by_ids(connection, ["h-1", "h-2"]),
            await load_by_keys(connection, [("m", "k-1"), ("m", "k-2")]),
            await load_accepted(connection, "m", "USDT", NOON - MINUTE),
        ):
            assert found == [make_hold(1), broken]
        assert await load_holds(connection, limit=9) == [make_hold(1)]
        with pytest.raises(StoreError, match="withdrawal h-2 cannot be read"):
            await load_hold(connection, "h-2")


async def test_second_hold_under_a_key_is_refused(database: Database) -> None:
    await upgrade(database)
    async with database.write() as connection:
        await save_holds(connection, [make_hold(1, key="k"), make_hold(2, key="k", mode="other")])
    with pytest.raises(StoreError):
        async with database.write() as connection:
            await save_holds(connection, [make_hold(3, key="k")])
    async with database.read() as connection:
        assert await last_position(connection) == 2


async def test_holds_are_read_in_pages_by_mode_and_state(database: Database) -> None:
    await upgrade(database)
    async with database.write() as connection:
        await save_holds(connection, [make_hold(number) for number in range(1, 5)])
        await save_holds(connection, [cancel(make_hold(2), NOON), make_hold(9, mode="other", at=NOON + MINUTE)])
        await save_levels(connection, {})
        await save_levels(connection, {"a": read(1), "b": read("2.50", block=7)})
        await save_levels(connection, {"a": read(3, NOON + MINUTE)})
    async with database.read() as connection:
        found = [hold.position for hold in await load_holds(connection, limit=3)]
        assert found == [9, 4, 3]
        found = [hold.position for hold in await load_holds(connection, "m", limit=9, before=4)]
        assert found == [3, 2, 1]
        found = [hold.position for hold in await load_holds(connection, None, [HoldState.CANCELLED], limit=9)]
        assert found == [2]
        accepted = await load_accepted(connection, "m", "USDT", NOON - MINUTE)
        assert [hold.position for hold in accepted] == [1, 3, 4]
        assert await load_accepted(connection, "m", "USDT", NOON) == []
        assert await load_accepted(connection, "m", "ETH", NOON - MINUTE) == []
        assert await load_levels(connection) == {"a": read(3, NOON + MINUTE), "b": read("2.50", block=7)}


async def test_accounts_of_groups_come_back_and_one_that_cannot_be_read_costs_itself_alone(database: Database) -> None:
    await upgrade(database)
    async with database.write() as connection:
        await save_accounts(connection, {"xy": accounts_of("xy"), "z": accounts_of("z"), "torn": accounts_of("t")})
        await save_accounts(connection, {"z": accounts_of("z")})
        await connection.execute(text("UPDATE account_groups SET accounts = '[[' WHERE account_group = 'torn'"))
    async with database.read() as connection:
        assert await load_accounts(connection) == {"xy": accounts_of("xy"), "z": accounts_of("z")}


async def test_migration_makes_the_tables_that_are_used(database: Database) -> None:
    await upgrade(database)

    def columns(connection: Connection) -> dict[str, set[tuple[str, bool]]]:
        found = inspect(connection)
        return {
            table.name: {(column["name"], column["nullable"]) for column in found.get_columns(table.name)}
            for table in (holds, hold_levels, account_groups)
        }

    async with database.read() as connection:
        made = await connection.run_sync(columns)
    for table in (holds, hold_levels, account_groups):
        assert made[table.name] == {(column.name, bool(column.nullable)) for column in table.columns}


async def test_keys_are_looked_up_in_their_index_on_sqlite(database: Database) -> None:
    if database.path is None:
        return
    await upgrade(database)
    async with database.read() as connection:
        plan = await connection.execute(
            text("EXPLAIN QUERY PLAN SELECT * FROM holds WHERE key IN ('a', 'b') ORDER BY position")
        )
        assert "holds_by_key" in " ".join(row.detail for row in plan)
