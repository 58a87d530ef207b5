"""The daemon is killed, and its store can then be read but not written: the next daemon still raises alarms."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
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


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    if os.geteuid() != 0:
        missing("a small disk", how="mounting one needs root")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def check_that_a_restart_alarms(
    world: World, nursery: Nursery, config: Path, fail: Callable[[], object], mend: Callable[[], object]
) -> None:
    """Kill a daemon, make the store fail, start another: low is sent. Mend the store: the recovery is sent."""
    killed = nursery.start(config)
    wait_until(lambda: sample(nursery.address(), "reservd_store_up") == 1, "the store to be up")
    nursery.signal(killed, signal.SIGKILL)
    fail()
    try:
        world.set("m", "low")
        nursery.start(config)
        address = nursery.address(2)
        status, text = page(address, "/-/ready")
        assert (status, "stands by" in text) == (503, False), "no other daemon owns the store"
        wait_until(lambda: world.kinds("m") == ["low"], "the alarm", timeout_seconds=60)
        wait_until(lambda: sample(address, "reservd_reserve_balance", mode="m", share_class="USDT") == 74, "the gauges")
        assert sample(address, "reservd_store_up") == 0
        assert page(address, "/-/ready")[0] == 503
    finally:
        mend()
    wait_until(lambda: page(address, "/-/ready")[0] == 200, "the daemon to be ready", timeout_seconds=60)
    wait_until(lambda: "owns the store" in page(address, "/-/ready")[1], "the daemon to own the store")
    world.set("m", "adequate")
    wait_until(lambda: world.kinds("m") == ["low", "adequate"], "the recovery")
    assert len({event["data"]["incident_id"] for event in world.events}) == 1
    assert len(world.events) == 2, "no event is sent twice"


def test_restart_alarms_when_sqlite_is_locked(world: World, nursery: Nursery, tmp_path: Path) -> None:
    config = world.write_config(tmp_path)
    with closing(sqlite3.connect(tmp_path / "reservd.db", isolation_level=None)) as other:
        check_that_a_restart_alarms(
            world,
            nursery,
            config,
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
        )


def test_restart_alarms_when_the_disk_is_read_only(world: World, nursery: Nursery, tmp_path: Path) -> None:
    """As a file system remounts itself when its disk fails."""
    with small_disk(tmp_path / "disk") as disk:

        def remount(how: str) -> Callable[[], object]:
            return lambda: subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)

        config = world.write_config(tmp_path, f"sqlite:///{disk}/store.db")
        check_that_a_restart_alarms(world, nursery, config, remount("ro"), remount("rw"))
        nursery.__exit__(None, None, None)


def test_restart_alarms_when_the_disk_is_full(world: World, nursery: Nursery, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        filler = disk / "filler"

        def fill() -> None:
            with filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"x" * 512)
                except OSError:
                    return

        config = world.write_config(tmp_path, f"sqlite:///{disk}/store.db")
        check_that_a_restart_alarms(world, nursery, config, fill, filler.unlink)
        nursery.__exit__(None, None, None)


def test_restart_alarms_when_postgresql_is_read_only(world: World, nursery: Nursery, tmp_path: Path) -> None:
    """The server became a replica while no daemon ran."""
    with Postgres() as server:

        def be_read_only(value: str) -> Callable[[], None]:
            def act() -> None:
                server.execute(
                    "postgres", f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"
                )
                shown = "SHOW default_transaction_read_only"
                wait_until(lambda: server.query("postgres", shown) == [(value,)], "the server to take up its settings")

            return act

        url = make_url(server.url("store")).set(drivername="postgresql").render_as_string(hide_password=False)
        config = world.write_config(tmp_path, url)
        check_that_a_restart_alarms(world, nursery, config, be_read_only("on"), be_read_only("off"))
