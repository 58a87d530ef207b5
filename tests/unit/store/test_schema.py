"""Migrations, on SQLite and on PostgreSQL."""

import asyncio
import sqlite3
import stat
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from reservd.errors import ConfigError, SchemaError, StoreError
from reservd.store.database import Database, parse_url
from reservd.store.orders import Order, OrderAction, OrderSubject, load_waiting_orders
from reservd.store.schema import prepare, upgrade
from reservd.store.tables import metadata
from support.office import Office
from support.polling import until
from support.sources import ScriptedSink


async def test_migrations_make_the_tables_that_the_code_knows(database: Database) -> None:
    await prepare(database)

    def described(connection: Connection) -> dict[str, tuple[set[str], set[str]]]:
        found = inspect(connection)
        return {
            name: (
                {column["name"] for column in found.get_columns(name)},
                {str(index["name"]) for index in found.get_indexes(name) if not index.get("duplicates_constraint")},
            )
            for name in found.get_table_names()
            if name != "alembic_version"
        }

    async with database.read() as connection:
        made = await connection.run_sync(described)
    known = {
        table.name: ({column.name for column in table.columns}, {str(index.name) for index in table.indexes})
        for table in metadata.sorted_tables
    }
    assert made == known


async def test_store_of_the_first_schema_is_upgraded_with_what_it_holds(database: Database) -> None:
    """A daemon of the first schema was killed in LOW: the next one continues its incident and sends its event."""
    await upgrade(database, "0001")
    state = (
        '{"good_at":"2026-01-05T12:00:00+00:00","announced_at":"2026-01-05T12:00:00+00:00","confirmed":"low",'
        '"known":"low","incident_id":"i-1","sequence":1,"good":null,"believed_balance":"74","believed_equity":"1000",'
        '"believed_parts":[]}'
    )
    event = (
        '{"event_type":"reserve_low","strategy_mode":"m","timestamp":"2026-01-05T12:00:00Z","reserve_balance":"74",'
        '"target_reserve":"100","utilization":"0.74","id":"e-1","sequence":1,"incident_id":"i-1","status":"low",'
        '"previous_status":"adequate","currency":"USDT","total_equity":"1000","shortfall":"26","observed_at":null,'
        '"reason":"","reminder":false,"superseded":false}'
    )
    rows = {
        "INSERT INTO owner VALUES (1, 7, NULL, 99)": {},
        "INSERT INTO mode_states VALUES ('m', :state)": {"state": state},
        "INSERT INTO events VALUES (1, 'e-1', 'm', 1, 'reserve_low', :no, 1767614400000000, :event)": {
            "event": event,
            "no": False,
        },
        "INSERT INTO deliveries (sink, position, mode, state) VALUES ('ops', 1, 'm', 'pending')": {},
    }
    async with database.write() as connection:
        for statement, values in rows.items():
            await connection.execute(text(statement), values)
    ops = ScriptedSink("ops")
    async with Office(database, ops, ops={"retry": {"give_up_after": 1e8}}) as office:
        assert office.ownership.epoch == 8
        await until(lambda: len(ops.taken) == 2, "both events")
    assert ops.taken[0].id == "e-1"
    assert {event.data.incident_id for event in ops.taken} == {"i-1"}
    assert [event.sequence for event in ops.taken] == ["1", "2"]


async def test_orders_that_wait_are_kept_when_a_store_of_the_fourth_schema_is_upgraded(database: Database) -> None:
    await upgrade(database, "0004")
    row = "'o-1', 'request', 'm', :amount, 'because', 1767614400000000, 'ann'"
    statement = "INSERT INTO replenishment_orders (id, action, target, amount, reason, asked_at, asked_by) VALUES"
    async with database.write() as connection:
        await connection.execute(text(f"{statement} ({row})"), {"amount": "12.50"})
    await upgrade(database)
    async with database.read() as connection:
        (order,) = await load_waiting_orders(connection, OrderSubject.REPLENISHMENT, 10)
        tables = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    asked_at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert order == Order(
        "o-1", OrderSubject.REPLENISHMENT, OrderAction.REQUEST, "m", "because", asked_at, "ann", Decimal("12.50")
    )
    assert "replenishment_orders" not in tables


async def test_store_of_a_newer_schema_is_refused_and_left_as_it_is(database: Database) -> None:
    await prepare(database)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for use in (prepare, upgrade):
        with pytest.raises(SchemaError, match="written by a newer reservd"):
            await use(database)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a store wait for SQLite's locks for longer than a busy machine holds one."""
    monkeypatch.setattr("reservd.store.database._BUSY_SECONDS", 60)


@pytest.mark.usefixtures("patience")
async def test_two_daemons_may_make_the_tables_at_once(store_url: str) -> None:
    databases = [Database(parse_url(store_url, Path())) for _ in range(3)]
    await asyncio.gather(*(prepare(each) for each in databases))
    for each in databases:
        await prepare(each)
        await each.close()


@pytest.mark.usefixtures("patience")
async def test_new_file_that_another_writes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    database = Database(parse_url(f"sqlite:///{path}", tmp_path))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        preparing = asyncio.create_task(prepare(database))
        await asyncio.sleep(0.2)
        assert not preparing.done()
        other.execute("COMMIT")
        await preparing
    await database.close()


async def test_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    database = Database(parse_url("sqlite:///new/folder/store.db", tmp_path))
    await prepare(database)
    await database.close()
    path = tmp_path / "new" / "folder" / "store.db"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_every_write_reaches_the_disk_before_it_counts(tmp_path: Path) -> None:
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    async with database.write() as connection:
        full = 2
        assert await connection.scalar(text("PRAGMA synchronous")) == full
    await database.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("mysql://host/db", "must begin with sqlite:// or postgresql://, got mysql://"),
        ("nonsense", "must be a URL"),
        ("postgresql://user:half@s3cret:half@host/db", "must be a URL .*percent-encoded"),
    ],
)
def test_url_is_refused_when_it_is_no_store(url: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^store.url: {said}") as caught:
        parse_url(url, tmp_path)
    assert "half" not in str(caught.value)


async def test_password_is_in_no_error_when_a_store_cannot_be_reached(tmp_path: Path) -> None:
    database = Database(parse_url("postgresql://user:s3cret@127.0.0.1:9/db", tmp_path))
    with pytest.raises(StoreError) as caught:
        await prepare(database)
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    await database.close()
