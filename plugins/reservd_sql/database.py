"""One database, read by one statement at a time that cannot change it."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from reservd.plugin import FailureReason, SourceError
from reservd_sql.address import POSTGRESQL
from reservd_sql.answer import Answer
from reservd_sql.config import SqlDatabaseConfig
from reservd_sql.failures import to_source_error
from reservd_sql.postgresql import PostgresqlServer
from reservd_sql.sqlite import SqliteFile

MAX_ROWS = 10_000
_BOUNDED = "SELECT * FROM (\n{statement}\n) AS reading LIMIT :reservd_limit"
"""The statement as it is sent: only one SELECT fits into the brackets.

The limit is a parameter also because PostgreSQL accepts several statements at once if there is none.
"""


class Database:
    """Reads one database. Used as an async context manager.

    A statement cannot change anything: it is a subquery, in PostgreSQL in a READ ONLY transaction, in SQLite on a file
    that was opened read-only. The deadline also cancels it in the database.
    """

    def __init__(self, config: SqlDatabaseConfig) -> None:
        url = make_url(config.url.get_secret_value())
        self._timeout_seconds = config.timeout
        self._driver = PostgresqlServer(url, config.timeout) if url.drivername == POSTGRESQL else SqliteFile(url)

    async def __aenter__(self) -> Self:
        """Prepare; nothing is connected yet."""
        await self._driver.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._driver.close()

    async def fetch_rows(
        self, statement: str, parameters: Mapping[str, str], columns: Collection[str]
    ) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a statement, at most `MAX_ROWS`, by column.

        Args:
            statement: One SELECT, with `:name` for a parameter.
            parameters: The bound values; never written into the statement.
            columns: The columns that the statement must return; it may return more.

        Raises:
            SourceError: If it could not be run in time, or returns other columns or too many rows.
        """
        bounded = text(_BOUNDED.format(statement=statement.rstrip("; \n\t")))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._driver.run(bounded, {**parameters, "reservd_limit": MAX_ROWS + 1})
        except TimeoutError:
            raise SourceError(FailureReason.TIMEOUT, f"no answer within {self._timeout_seconds:g} s") from None
        except SQLAlchemyError as error:
            raise to_source_error(error) from None
        _check(answer, columns)
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]


def _check(answer: Answer, wanted: Collection[str]) -> None:
    if lacking := [name for name in wanted if name not in answer.columns]:
        raise SourceError(FailureReason.INVALID_DATA, f"the statement must give the column {lacking[0]}")
    if len(set(answer.columns)) < len(answer.columns):
        raise SourceError(FailureReason.INVALID_DATA, "the statement must give each column once")
    if len(answer.rows) > MAX_ROWS:
        raise SourceError(FailureReason.INVALID_DATA, f"the statement gives more than {MAX_ROWS} rows")
