"""The connection to SQLite or PostgreSQL, which raises every failure as `StoreError`."""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from reservd.errors import ConfigError, PluginError, StoreError

_File = tuple[int, int]
"""Identifies a file: its device and its inode number."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
_BUSY_SECONDS = 2
_BUSY_PAUSE_SECONDS = 0.02
_POSTGRES = {
    "connect_timeout": 3,
    "application_name": "reservd",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
    # A daemon that is suspended during a write must not lock the owner's row for ever.
    "options": "-c statement_timeout=5000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=5000",
}
_FILE_MODE = 0o600
_READERS = 4
_PRIMARY_CODE = 0xFF
"""The part of SQLite's error codes without details."""


def parse_url(url: str, directory: Path) -> URL:
    """Return the URL of the store, with the driver that reservd uses.

    Args:
        url: `sqlite:///file` or `postgresql://...`.
        directory: Where a relative SQLite path starts.

    Raises:
        ConfigError: If it is neither. The message holds no password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the error's text may hold part of a password that was parsed as a port
        rule = "store.url: must be a URL such as sqlite:///reservd.db or postgresql://host/database"
        raise ConfigError(f"{rule}, with what is special in a password percent-encoded") from None
    driver = _DRIVERS.get(parsed.get_backend_name())
    if driver is None:
        raise ConfigError(f"store.url: must begin with sqlite:// or postgresql://, got {parsed.get_backend_name()}://")
    if driver == _DRIVERS["sqlite"]:
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("store.url: must name a file, as sqlite:///reservd.db does")
        parsed = parsed.set(database=str(directory / parsed.database))
    return parsed.set(drivername=driver)


class Database:
    """A store. Nothing is connected before it is used.

    Args:
        url: As `parse_url` returns it.

    Attributes:
        path: The SQLite file; None on PostgreSQL.
        description: The location for people, without a password.

    Raises:
        PluginError: If the driver is not installed.
    """

    def __init__(self, url: URL) -> None:
        self.path = Path(str(url.database)) if url.get_backend_name() == "sqlite" else None
        self._made = False
        self._opened: _File | None = None
        self._was_read_only = False
        self.description = url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)
        try:
            if self.path is not None:
                # SQLite allows one writer at a time. A reader with its own connection never waits for it.
                self._writer = _sqlite(url, "BEGIN IMMEDIATE", 1)
                self._reader = _sqlite(url, "BEGIN", _READERS)
                event.listen(self._writer.sync_engine, "connect", self._note_file)
                event.listen(self._writer.sync_engine, "handle_error", self._note)
                self._newcomer = self._reader  # connections to a file do not die
            else:
                self._writer = self._reader = create_async_engine(
                    url, connect_args=_POSTGRES, pool_size=_READERS, max_overflow=2, pool_timeout=5
                )
                self._newcomer = create_async_engine(url, connect_args=_POSTGRES, poolclass=NullPool)
        except ModuleNotFoundError as error:
            raise PluginError(
                f"the store on PostgreSQL needs the Python package '{error.name}': pip install 'reservd[postgres]'"
            ) from None

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction that is committed at the end, and rolled back on any error.

        Raises:
            StoreError: If the write fails.
        """
        with _translated(self.description):
            await self._make()
            await self._require_file()
            if self._was_read_only:
                await self._reconnect()
            async with self._writer.begin() as connection:
                yield connection

    @contextlib.asynccontextmanager
    async def read(self, *, anew: bool = False) -> AsyncIterator[AsyncConnection]:
        """Yield a connection that sees one consistent state of the store.

        Args:
            anew: Use a new connection: open ones may have died unnoticed while this process was suspended.

        Raises:
            StoreError: If the store does not answer.
        """
        with _translated(self.description):
            await self._make()
            async with (self._newcomer if anew else self._reader).connect() as connection:
                yield connection

    async def _make(self) -> None:
        if self.path is not None and not self._made:
            await asyncio.to_thread(_make_private, self.path)
            self._made = True

    async def _require_file(self) -> None:
        """Check that the open file still exists: nobody would ever read what is written to a removed file.

        Raises:
            StoreError: If it was removed or replaced. No other file is opened in its place: a new one would be taken
                for a store without an owner, and a restored one would be combined with the old one's `-wal`.
        """
        if self.path is None or self._opened is None:
            return
        found = await asyncio.to_thread(_find, self.path)
        if found is None:
            raise StoreError(f"{self.description}: the file was removed")
        if found != self._opened:
            raise StoreError(f"{self.description}: the file was replaced; restart the daemon to use the new one")

    def _note_file(self, *_: object) -> None:
        if self.path is not None:
            self._opened = _find(self.path)

    def _note(self, context: ExceptionContext) -> None:
        code = getattr(context.original_exception, "sqlite_errorcode", 0)
        self._was_read_only |= code & _PRIMARY_CODE == sqlite3.SQLITE_READONLY

    async def _reconnect(self) -> None:
        """Drop every connection: one that was opened while the disk was read-only stays read-only."""
        self._was_read_only = False
        await self._writer.dispose()
        await self._reader.dispose()

    async def close(self) -> None:
        """Close every connection."""
        with contextlib.suppress(SQLAlchemyError, OSError):
            await self._writer.dispose()
            await self._reader.dispose()


def _sqlite(url: URL, begin: str, connections: int) -> AsyncEngine:
    engine = create_async_engine(
        url, connect_args={"timeout": _BUSY_SECONDS}, pool_size=connections, max_overflow=0, pool_timeout=5
    )

    def connected(connection: Any, _: object) -> None:
        # The driver's own transactions begin too late: see "begin".
        connection.isolation_level = None
        connection.run_async(_use_wal)
        cursor = connection.cursor()
        # FULL: an acknowledged event survives a power cut, in WAL mode too.
        for pragma in ("synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


async def _use_wal(connection: Any) -> None:
    """Enable the write-ahead log. SQLite does not wait for other connections here, so retry while the file is busy."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            async with connection.execute("PRAGMA journal_mode = WAL"):
                return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY_CODE != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        await asyncio.sleep(_BUSY_PAUSE_SECONDS)


def _find(path: Path) -> _File | None:
    """Return the identity of the file; None when it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _make_private(path: Path) -> None:
    """Create the file so that only its owner may read it; SQLite would leave that to the umask."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))


@contextlib.contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise StoreError(f"{where}: {_first_line(error.orig or error)}") from error
    except (SQLAlchemyError, sqlite3.Error, TimeoutError, OSError) as error:
        raise StoreError(f"{where}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
