"""A SQLite file, opened read-only."""

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, NullPool, TextClause, create_engine

from reservd_sql.answer import Answer

_MAX_THREADS = 5
_LOCK_SECONDS = 1.0
"""How long a reading waits for a writer; it cannot be interrupted meanwhile."""
_STEPS_BETWEEN_LOOKS = 10_000
"""Steps of SQLite's virtual machine, about a millisecond, after which it checks whether to continue."""


class SqliteFile:
    """Reads one file, in its own threads.

    The file is opened for each reading: otherwise a replaced file would be read in its old state for ever.
    """

    def __init__(self, url: URL) -> None:
        read_only = url.set(database=f"file:{quote(url.database or '')}", query={"mode": "ro", "uri": "true"})
        self._engine = create_engine(read_only, poolclass=NullPool, connect_args={"timeout": _LOCK_SECONDS})
        self._threads: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """Create the threads; the file is not opened yet."""
        self._threads = ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="sqlite")

    async def close(self) -> None:
        """End the threads."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, statement: TextClause, parameters: Mapping[str, Any]) -> Answer:
        """Return the result of a statement; if it is cancelled, SQLite is interrupted.

        Raises:
            SQLAlchemyError: As the driver does.
        """
        if self._threads is None:
            raise RuntimeError("the database is not open")
        given_up = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, self._read, statement, parameters, given_up
            )
        finally:
            given_up.set()

    def _read(self, statement: TextClause, parameters: Mapping[str, Any], given_up: threading.Event) -> Answer:
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.set_progress_handler(given_up.is_set, _STEPS_BETWEEN_LOOKS)
            connection.exec_driver_sql("PRAGMA query_only = ON")
            result = connection.execute(statement, parameters)
            return Answer(tuple(result.keys()), result.all())
