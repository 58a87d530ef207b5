"""Migrations: checks the store's schema, and upgrades an older one."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from reservd.errors import SchemaError
from reservd.store.database import Database

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 7_264_957_823
"""A PostgreSQL advisory lock: two daemons that start at once migrate one after the other."""


async def prepare(database: Database) -> None:
    """Create the tables of an empty store. A store with an older schema is left to `upgrade`.

    Raises:
        StoreError: If the store cannot be used.
        SchemaError: If a newer reservd wrote it.
    """
    async with database.read() as connection:
        version = await connection.run_sync(_version)
    if version is None:
        await upgrade(database)
    else:
        _check_known(database, version)


async def upgrade(database: Database, revision: str = "head") -> None:
    """Migrate the store to the newest schema in one transaction. Only its owner may do so, unless it is empty.

    Raises:
        StoreError: If the store cannot be used.
        SchemaError: If a newer reservd wrote it.
    """
    async with database.read() as connection:
        if await connection.run_sync(_version) == ScriptDirectory.from_config(_config()).get_current_head():
            return
    async with database.write() as connection:
        await connection.run_sync(_upgrade, database, revision)


def _upgrade(connection: Connection, database: Database, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    version = _version(connection)
    if version is not None:
        _check_known(database, version)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(database: Database, version: str) -> None:
    try:
        ScriptDirectory.from_config(_config()).get_revision(version)
    except CommandError:
        raise SchemaError(
            f"{database.description} was written by a newer reservd (schema {version}): upgrade reservd, "
            "or give it another store"
        ) from None


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
