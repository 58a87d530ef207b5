"""Which stores a command beside the daemon may use, and the errors for others."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

import reservd.store.access
from reservd.errors import SchemaError, StoreError
from reservd.store.access import SCHEMA, open_database, require_current
from reservd.store.database import Database
from reservd.store.schema import prepare, upgrade

MIGRATIONS = Path(reservd.store.access.__file__).with_name("migrations")


async def set_version(database: Database, version: str) -> None:
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def test_known_schema_is_the_newest_migration_and_migrations_are_counted_up() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    revisions = [script.revision for script in scripts.walk_revisions()][::-1]
    assert revisions == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    assert revisions[-1] == SCHEMA


async def test_store_is_good_when_its_daemon_made_it(database: Database) -> None:
    await prepare(database)
    await require_current(database)


async def test_store_is_refused_and_not_migrated_when_it_is_older(database: Database) -> None:
    await upgrade(database, "0001")
    with pytest.raises(StoreError, match=r"older reservd \(schema 0001\)"):
        await require_current(database)
    async with database.read() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"


async def test_store_is_refused_when_it_is_newer(database: Database) -> None:
    await prepare(database)
    await set_version(database, "9999")
    with pytest.raises(SchemaError, match=r"newer reservd \(schema 9999\)"):
        await require_current(database)


async def test_store_is_refused_and_left_alone_when_it_holds_something_else(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE somebodys (id INTEGER)"))
    with pytest.raises(StoreError, match="holds no tables of reservd"):
        await require_current(database)


async def test_store_is_refused_and_not_made_when_it_is_not_there(tmp_path: Path) -> None:
    database = open_database("sqlite:///deep/store.db", tmp_path)
    with pytest.raises(StoreError, match="there is no store"):
        await require_current(database)
    await database.close()
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("url", "environ", "expected"),
    [
        ("", {}, "conf/reservd.db"),
        ("", {"STATE_DIRECTORY": ""}, "conf/reservd.db"),
        ("", {"STATE_DIRECTORY": "/state:/other"}, "/state/reservd.db"),
        ("sqlite:///here.db", {"STATE_DIRECTORY": "/state"}, "conf/here.db"),
        ("sqlite:////there/here.db", {}, "/there/here.db"),
    ],
)
async def test_store_is_where_the_configuration_says(
    tmp_path: Path, url: str, environ: dict[str, str], expected: str
) -> None:
    database = open_database(url, tmp_path / "conf", environ)
    assert database.path == tmp_path / expected
    await database.close()
