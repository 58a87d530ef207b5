"""Opens the configured store, and checks that a program other than its daemon can use it as it is."""

import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import column, inspect, select, table
from sqlalchemy.engine import Connection

from reservd.errors import SchemaError, StoreError
from reservd.store.database import Database, parse_url

DEFAULT_URL = "sqlite:///reservd.db"
SCHEMA = "0007"
"""The newest migration. Migrations are numbered here, because importing Alembic would double a command's run time."""


def open_database(url: str, directory: Path, environ: Mapping[str, str] = os.environ) -> Database:
    """Return the configured store. Nothing is connected yet.

    Args:
        url: `store.url` of the configuration; empty for the default.
        directory: The folder of the configuration file. A relative SQLite path starts there.
        environ: The environment. $STATE_DIRECTORY is the folder of the default store if systemd sets it.

    Raises:
        ConfigError: If the URL cannot be used.
        PluginError: If its driver is not installed.
    """
    if not url:
        url = DEFAULT_URL
        # systemd separates several folders with colons, like $PATH.
        directory = Path(environ.get("STATE_DIRECTORY", "").partition(":")[0] or directory)
    return Database(parse_url(url, directory.absolute()))


async def require_current(database: Database) -> None:
    """Check that the store exists with the schema of this reservd. Create and change nothing.

    Raises:
        StoreError: If it does not exist, cannot be read, or holds the tables of an older reservd or none at all.
        SchemaError: If a newer reservd wrote it.
    """
    where = database.description
    if database.path is not None and not database.path.exists():  # SQLite would create it
        raise StoreError(f"{where}: there is no store; the daemon makes one when it first runs")
    async with database.read() as connection:
        version = await connection.run_sync(_version)
    if version is None:
        raise StoreError(f"{where}: holds no tables of reservd; the daemon makes them when it first runs")
    if version > SCHEMA:
        raise SchemaError(f"{where}: was written by a newer reservd (schema {version}): upgrade this one")
    if version < SCHEMA:
        raise StoreError(
            f"{where}: was written by an older reservd (schema {version}): its daemon upgrades it when it runs this one"
        )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(select(column("version_num")).select_from(table("alembic_version")))
    return found
