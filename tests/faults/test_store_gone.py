"""The store is locked, full, read-only or down: gauges and alarms continue, refills wait, no event is sent twice."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from support.nursery import Nursery
from support.polling import wait_until
from support.postgres import Postgres
from support.require import missing
from support.scrape import page, sample
from support.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World("m") as running:
        yield running


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may stop."""
    with Postgres() as running:
        yield running


def url_of(server: Postgres, database: str = "store") -> str:
    url = make_url(server.url(database)).set(drivername="postgresql")
    return url.render_as_string(hide_password=False)


def is_up(address: str, *, up: bool) -> None:
    wait_until(lambda: sample(address, "reservd_store_up") == up, f"reservd_store_up to be {up:d}")


def hears(world: World, *kinds: str) -> None:
    wait_until(lambda: len(world.kinds("m")) >= len(kinds), f"{kinds}, got {world.kinds('m')}")
    assert world.kinds("m") == list(kinds)


def check_that_alarms_go_on(world: World, address: str, fail: Callable[[], object], mend: Callable[[], object]) -> None:
    """Low is sent, the store fails, critical is still sent, the store is mended, the recovery is sent."""
    world.set("m", "low")
    hears(world, "low")
    is_up(address, up=True)
    fail()
    world.set("m", "critical")
    hears(world, "low", "critical")
    is_up(address, up=False)
    status, text = page(address, "/-/ready")
    assert (status, "the store is gone" in text) == (503, True)
    before = sample(address, "reservd_last_snapshot_timestamp_seconds", mode="m", share_class="USDT")
    wait_until(
        lambda: (
            (sample(address, "reservd_last_snapshot_timestamp_seconds", mode="m", share_class="USDT") or 0)
            > (before or 0)
        ),
        "the gauges to be updated",
    )
    mend()
    is_up(address, up=True)
    world.set("m", "adequate")
    hears(world, "low", "critical", "adequate")
    assert len({event["data"]["incident_id"] for event in world.events}) == 1
    assert len(world.events) == 3, "no event is sent twice"
    wait_until(lambda: page(address, "/-/ready")[0] == 200, "the daemon to be ready")


def stored(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM events ORDER BY position")]


def test_alarms_go_on_when_sqlite_is_locked(world: World, nursery: Nursery, tmp_path: Path) -> None:
    """Another process holds a lock on the file, as some backups do."""
    store = tmp_path / "reservd.db"
    nursery.start(world.write_config(tmp_path))
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        check_that_alarms_go_on(
            world, address, lambda: other.execute("BEGIN IMMEDIATE"), lambda: other.execute("ROLLBACK")
        )
    wait_until(lambda: len(stored(store)) == 3, "all events to be written")
    assert stored(store) == [event["id"] for event in world.events]


def test_alarms_go_on_when_the_file_is_moved_away(world: World, nursery: Nursery, tmp_path: Path) -> None:
    """Nothing may be written to a file that nobody would look for: the store counts as down until the file is back."""
    store, elsewhere = tmp_path / "reservd.db", tmp_path / "elsewhere.db"
    nursery.start(world.write_config(tmp_path))
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    check_that_alarms_go_on(world, address, lambda: store.rename(elsewhere), lambda: elsewhere.rename(store))
    wait_until(lambda: len(stored(store)) == 3, "all events to be written")
    assert stored(store) == [event["id"] for event in world.events]


def test_alarms_go_on_when_the_disk_is_full(world: World, nursery: Nursery, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        missing("a small disk", how="mounting one needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=True)
    try:
        nursery.start(world.write_config(tmp_path, f"sqlite:///{disk}/store.db"))
        address = nursery.address()
        wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
        filler = disk / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 512)
                except OSError:
                    return

        check_that_alarms_go_on(world, address, fill, filler.unlink)
        wait_until(lambda: len(stored(disk / "store.db")) == 3, "all events to be written")
        nursery.__exit__(None, None, None)
        assert stored(disk / "store.db") == [event["id"] for event in world.events]
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_alarms_go_on_when_postgresql_is_stopped_and_started(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    nursery.start(world.write_config(tmp_path, url_of(server)))
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    check_that_alarms_go_on(world, address, server.stop, server.start)
    wait_until(lambda: len(server.query("store", "SELECT id FROM events")) == 3, "all events to be written")


def test_alarms_go_on_when_postgresql_is_read_only(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """As on a replica, or while an administrator upgrades it."""
    nursery.start(world.write_config(tmp_path, url_of(server)))
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")

    def be_read_only(value: str) -> Callable[[], None]:
        return lambda: server.execute(
            "postgres", f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"
        )

    check_that_alarms_go_on(world, address, be_read_only("on"), be_read_only("off"))


def test_alarms_come_from_memory_when_the_store_is_not_there_at_the_start(
    world: World, nursery: Nursery, server: Postgres, tmp_path: Path
) -> None:
    """A restart during an outage of the database: the known incident is continued once the database is back."""
    config = world.write_config(tmp_path, url_of(server))
    first = nursery.start(config)
    nursery.address()
    world.set("m", "low")
    hears(world, "low")
    wait_until(
        lambda: server.query("store", "SELECT 1 FROM deliveries WHERE state = 'delivered'"),
        "the delivery to be recorded",
    )
    nursery.signal(first, signal.SIGKILL)
    server.stop()
    world.set("m", "critical")
    nursery.start(config)
    address = nursery.address(2)
    hears(world, "low", "critical")
    assert sample(address, "reservd_store_up") == 0
    server.start()
    is_up(address, up=True)
    world.set("m", "adequate")
    hears(world, "low", "critical", "adequate")
    assert world.events[2]["data"]["incident_id"] == world.events[0]["data"]["incident_id"]
    sequences = [int(event["sequence"]) for event in world.events]
    assert sequences == sorted(set(sequences))
    wait_until(lambda: len(server.query("store", "SELECT id FROM events")) == 3, "all events to be written")


def test_daemon_refuses_a_store_that_a_newer_one_wrote(world: World, nursery: Nursery, tmp_path: Path) -> None:
    config = world.write_config(tmp_path)
    daemon = nursery.start(config)
    address = nursery.address()
    wait_until(lambda: sample(address, "reservd_store_up") == 1, "the store to be up")
    nursery.signal(daemon, signal.SIGTERM)
    with closing(sqlite3.connect(tmp_path / "reservd.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    nursery.wait(nursery.start(config))
    last = nursery.log().splitlines()[-1]
    assert last == (
        f"reservd: sqlite:///{tmp_path}/reservd.db was written by a newer reservd (schema 9999): "
        "upgrade reservd, or give it another store"
    ), json.dumps(last)
