"""A PostgreSQL server, read in READ ONLY transactions."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from reservd_sql.answer import Answer

_MAX_CONNECTIONS = 5
_TIMEOUT = text("SELECT set_config('statement_timeout', :milliseconds, true)")


class PostgresqlServer:
    """Keeps a few connections, each checked before it is used again."""

    def __init__(self, url: URL, timeout_seconds: float) -> None:
        self._url = url
        self._milliseconds = f"{timeout_seconds * 1000:.0f}"
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        """Create the pool; nothing is connected yet."""
        self._engine = create_async_engine(
            self._url,
            pool_size=_MAX_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            execution_options={"postgresql_readonly": True},
            connect_args={"application_name": "reservd"},
        )

    async def close(self) -> None:
        """Close every connection."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    async def run(self, statement: TextClause, parameters: Mapping[str, Any]) -> Answer:
        """Return the result of a statement; if it is cancelled or out of time, the server cancels it too.

        Raises:
            SQLAlchemyError: As the driver does.
        """
        if self._engine is None:
            raise RuntimeError("the database is not open")
        async with self._engine.connect() as connection:
            await connection.execute(_TIMEOUT, {"milliseconds": self._milliseconds})
            result = await connection.execute(statement, parameters)
            return Answer(tuple(result.keys()), result.all())
