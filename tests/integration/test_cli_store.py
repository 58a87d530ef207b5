"""Stores that operators' commands must not change, and the error messages about them."""

from pathlib import Path

import pytest
from sqlalchemy import text

from reservd.store.database import Database
from reservd.store.schema import upgrade
from support.commands import Command, Result, Store, write_config

READS_AND_WRITES = [
    ["events"],
    ["events", "show", "x"],
    ["events", "dead-letters"],
    ["events", "redeliver", "x"],
    ["silence", "--list"],
    ["silence", "alpha", "--end"],
    ["silence", "alpha", "--for", "1h", "--reason", "x"],
]


def refused(result: Result, line: str) -> None:
    assert (result.code, result.out) == (1, "")
    assert line in result.err
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("reservd: ")


@pytest.mark.parametrize("arguments", READS_AND_WRITES)
def test_store_is_neither_made_nor_migrated(
    command: Command, store_config: Path, store_url: str, arguments: list[str]
) -> None:
    """At first there is no store, then an older one."""
    store = Store(store_url)
    refused(command(*arguments), "holds no tables of reservd" if "postgresql" in store_url else "there is no store")
    assert not (store_config.parent / "store.db").exists()
    store.do(lambda database: upgrade(database, "0001"))
    refused(command(*arguments), "was written by an older reservd (schema 0001)")


def test_store_is_refused_when_it_is_newer(command: Command, store: Store) -> None:
    async def rename(database: Database) -> None:
        async with database.write() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    store.do(rename)
    refused(command("events"), "was written by a newer reservd (schema 9999)")


def test_store_that_does_not_answer_is_one_line_without_a_password(command: Command, tmp_path: Path) -> None:
    write_config(tmp_path, "postgresql://u:hunter2@127.0.0.1:1/x")
    result = command("events")
    refused(result, "postgresql://u:***@127.0.0.1:1/x: ")
    assert "hunter2" not in result.err


def test_store_of_systemd_is_hinted_at_when_the_configuration_names_none(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config(tmp_path, "")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    refused(command("events"), "set $STATE_DIRECTORY as systemd does for the daemon")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    refused(command("events"), f"{tmp_path}/state/reservd.db: there is no store")
    assert not (tmp_path / "state").exists()


def test_file_that_is_no_database_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"no database" * 1000)
    write_config(tmp_path, "sqlite:///other.db")
    refused(command("events"), "file is not a database")


def test_configuration_that_does_not_hold_is_one_located_line(command: Command, store_config: Path) -> None:
    store_config.write_text(store_config.read_text() + "weeb: {}\n")
    result = command("events")
    assert (result.code, result.out) == (1, "")
    assert "weeb: unknown key; did you mean web?" in result.err
