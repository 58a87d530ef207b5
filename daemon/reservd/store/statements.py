"""Statements that each database says in its own way."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ARRAY, Column, ColumnElement, Table, any_, bindparam, func, literal, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")

_ROWS_AT_A_TIME = 100


async def execute_rows(
    connection: AsyncConnection, statement: Any, records: Sequence[T], row: Callable[[T], Mapping[str, Any]]
) -> None:
    """Execute a statement for each of many records.

    Some at a time: to make text of thousands, and to bind it, would hold the event loop.

    Args:
        connection: In whose transaction.
        statement: Has a parameter for each column of a row.
        records: What the rows are of.
        row: Returns the row of a record.
    """
    for start in range(0, len(records), _ROWS_AT_A_TIME):
        await connection.execute(statement, [row(each) for each in records[start : start + _ROWS_AT_A_TIME]])


def insert_new(connection: AsyncConnection, table: Table) -> Any:
    """Return an INSERT that leaves a row which is there already as it is."""
    return _insert(connection, table).on_conflict_do_nothing()


def upsert(connection: AsyncConnection, table: Table, *columns: str) -> Any:
    """Return an INSERT that replaces these columns where the primary key is there already."""
    return _replacing(_insert(connection, table), table, columns)


async def upsert_rows(
    connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Store rows; where the primary key is there already, replace these columns.

    On PostgreSQL in one statement with an array for each column, at half the cost of one for each row.
    """
    if connection.dialect.name != "postgresql":
        await connection.execute(upsert(connection, table, *columns), rows)
        return
    arrays = {column.name: [row[column.name] for row in rows] for column in table.columns}
    await connection.execute(_upsert_arrays(table, tuple(columns)), arrays)


async def plan_anew(connection: AsyncConnection) -> None:
    """Have what follows in this transaction planned for the tables as they are.

    PostgreSQL keeps the plans of statements that come again; one that was made while a table was
    empty reads all of it until the table is analysed.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


def is_one_of(connection: AsyncConnection, column: Column[str], values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a text is one of many: on PostgreSQL as one parameter, which is quicker."""
    if connection.dialect.name == "postgresql":
        return column == any_(literal(list(values), ARRAY(column.type)))
    return column.in_(values)


@cache
def _upsert_arrays(table: Table, columns: tuple[str, ...]) -> Any:
    unnested = select(*(func.unnest(bindparam(each.name, type_=ARRAY(each.type))) for each in table.columns))
    return _replacing(postgresql.insert(table).from_select(list(table.columns.keys()), unnested), table, columns)


def _replacing(statement: Any, table: Table, columns: Sequence[str]) -> Any:
    return statement.on_conflict_do_update(
        index_elements=[column.name for column in table.primary_key],
        set_={column: statement.excluded[column] for column in columns},
    )


def _insert(connection: AsyncConnection, table: Table) -> Any:
    return (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(table)
