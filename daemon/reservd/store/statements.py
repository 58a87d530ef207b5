"""SQL that differs between SQLite and PostgreSQL."""

import json
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

_ROWS_AT_A_TIME = 100
_ROWS = "rows"


async def insert_new(
    connection: AsyncConnection, table: Table, records: Sequence[T], row: Callable[[T], dict[str, Any]]
) -> None:
    """Insert a row for each record. Rows that exist already are kept as they are.

    Args:
        connection: The rows are inserted in its transaction.
        table: The table.
        records: The records.
        row: Returns the row of a record. All rows have the same columns.
    """
    await _store(connection, table, records, row, ())


async def upsert(
    connection: AsyncConnection,
    table: Table,
    records: Sequence[T],
    row: Callable[[T], dict[str, Any]],
    replaced: Sequence[str],
) -> None:
    """Insert a row for each record. If a row with the same primary key exists, replace these columns of it."""
    await _store(connection, table, records, row, tuple(replaced))


async def _store(
    connection: AsyncConnection,
    table: Table,
    records: Sequence[T],
    row: Callable[[T], dict[str, Any]],
    replaced: tuple[str, ...],
) -> None:
    """Store many rows with one statement whose only parameter is a JSON array of rows, which is the cheapest way.

    A statement for each row would cost the driver more than the row costs the database. The rows are stored in parts,
    because encoding thousands of them at once would block the event loop.
    """
    for start in range(0, len(records), _ROWS_AT_A_TIME):
        rows = [row(each) for each in records[start : start + _ROWS_AT_A_TIME]]
        names = tuple(rows[0])
        binds = _binds(connection.dialect, table, names)
        for each in rows:
            each.update({name: bind(each[name]) for name, bind in binds.items()})
        statement = _storing(connection.dialect.name, table, names, replaced)
        await connection.execute(statement, {_ROWS: json.dumps(rows, separators=(",", ":"))})


def _binds(dialect: Dialect, table: Table, names: Sequence[str]) -> dict[str, Callable[[Any], Any]]:
    """Return the converters of the columns whose values cannot be passed to the database as they are."""
    binds = {name: table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names}
    return {name: bind for name, bind in binds.items() if bind is not None}


@cache
def _storing(dialect: str, table: Table, names: tuple[str, ...], replaced: tuple[str, ...]) -> Any:
    if dialect == "postgresql":
        insert: Any = postgresql.insert(table).from_select(names, _rows_on_postgresql(table, names))
    else:
        insert = sqlite.insert(table).from_select(names, _rows_on_sqlite(names))
    if not replaced:
        return insert.on_conflict_do_nothing()
    key = [each.name for each in table.primary_key]
    return insert.on_conflict_do_update(index_elements=key, set_={name: insert.excluded[name] for name in replaced})


def _rows_on_postgresql(table: Table, names: Sequence[str]) -> Select[Any]:
    rows = func.json_to_recordset(cast(bindparam(_ROWS, type_=Text), JSON))
    typed = rows.table_valued(*(column(name, table.c[name].type) for name in names), name=_ROWS)
    return select(*typed.render_derived(with_types=True).c)


def _rows_on_sqlite(names: Sequence[str]) -> Select[Any]:
    row = func.json_each(bindparam(_ROWS, type_=Text)).table_valued("value", name=_ROWS).c.value
    found = select(*(func.json_extract(row, literal_column(f"'$.{name}'")) for name in names))
    return found.where(text("true"))  # without it, SQLite would parse ON CONFLICT as a join


async def plan_anew(connection: AsyncConnection) -> None:
    """Have the next statements of this transaction planned for the current state of the tables.

    PostgreSQL caches the plans of repeated statements. A plan that was made while a table was empty scans all of it
    until the table is analysed.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def is_one_of(connection: AsyncConnection, place: Column[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of the values: on PostgreSQL as one parameter, which is faster."""
    if connection.dialect.name == "postgresql":
        return place == any_(literal(list(values), ARRAY(place.type)))
    return place.in_(values)
