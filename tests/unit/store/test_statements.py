"""Rows are stored many at a time, and read back unchanged."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from reservd.store.database import Database
from reservd.store.holds import load_by_ids, save_holds
from reservd.store.schema import upgrade
from reservd.store.statements import insert_new, upsert
from reservd.store.tables import events, mode_states
from support.holds import make_hold

TEXTS = ["", "plain", 'it\'s "quoted"', "back\\slash\n\ttab", "ünïcödé 🪙 ‎", '{"a": ["\\u0000", null]}', "null", "12"]


def event(position: int, text: str = "{}", explanation: str | None = None, *, reminder: bool = False) -> dict[str, Any]:
    return {
        "position": position,
        "id": f"e{position}",
        "mode": "m",
        "sequence": position,
        "type": "reserve_low",
        "reminder": reminder,
        "decided_at": datetime(2026, 3, 1, 12, 0, 0, position % 10**6, tzinfo=UTC),
        "event": text,
        "explanation": explanation,
    }


async def stored(database: Database) -> list[dict[str, Any]]:
    async with database.read() as connection:
        rows = await connection.execute(select(events).order_by(events.c.position))
        return [dict(row) for row in rows.mappings()]


async def test_rows_come_out_as_they_went_in_when_they_are_more_than_one_statement_takes(database: Database) -> None:
    await upgrade(database)
    rows = [
        event(2**62 + number, TEXTS[number % len(TEXTS)], TEXTS[-number % len(TEXTS)] or None, reminder=number % 2 == 0)
        for number in range(250)
    ]
    async with database.write() as connection:
        await insert_new(connection, events, rows, dict)
    assert await stored(database) == rows


async def test_row_that_is_there_stays_as_it_is_when_it_is_stored_once_more(database: Database) -> None:
    await upgrade(database)
    for rows in ([event(1, "first")], [event(1, "second"), event(2, "new"), event(2, "twice")], []):
        async with database.write() as connection:
            await insert_new(connection, events, rows, dict)
    assert [(each["position"], each["event"]) for each in await stored(database)] == [(1, "first"), (2, "new")]


@pytest.mark.parametrize("text", TEXTS)
async def test_row_that_is_there_is_replaced_when_that_is_asked_for(database: Database, text: str) -> None:
    await upgrade(database)
    for states in ({"a": "old", "b": "kept"}, {"a": text, "c": text}):
        async with database.write() as connection:
            await upsert(
                connection,
                mode_states,
                list(states.items()),
                lambda each: {"mode": each[0], "state": each[1]},
                ("state",),
            )
    async with database.read() as connection:
        found = {row.mode: row.state for row in await connection.execute(select(mode_states))}
    assert found == {"a": text, "b": "kept", "c": text}


async def test_amounts_and_moments_are_exact_when_many_rows_are_replaced(database: Database) -> None:
    await upgrade(database)
    holds = [make_hold(number, f"{number}.000000000000000001", 0) for number in range(1, 121)]
    changed = [replace(hold, arrived=hold.amount) for hold in holds]
    for rows in (holds, changed):
        async with database.write() as connection:
            await save_holds(connection, rows)
    async with database.read() as connection:
        found = await load_by_ids(connection, [hold.id for hold in holds])
    assert found == changed
