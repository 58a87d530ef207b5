"""The file of an SQLite store, which may be removed or replaced while it is open."""

import shutil
from pathlib import Path

import pytest

from reservd.errors import StoreError
from reservd.store.database import Database, parse_url
from reservd.store.ownership import Ownership


async def open_store(folder: Path) -> tuple[Database, Ownership]:
    """Return a store that is owned."""
    database = Database(parse_url("sqlite:///store.db", folder))
    ownership = Ownership(database)
    await ownership.acquire()
    return database, ownership


async def test_write_fails_until_the_file_is_back_when_it_was_moved_away(tmp_path: Path) -> None:
    database, ownership = await open_store(tmp_path)
    file = tmp_path / "store.db"
    file.rename(tmp_path / "elsewhere.db")
    with pytest.raises(StoreError, match=r"store\.db: the file was removed"):
        async with database.write():
            pass
    assert not file.exists(), "no empty store is created in its place"
    (tmp_path / "elsewhere.db").rename(file)
    async with database.write() as connection:
        await ownership.fence(connection)
    await database.close()


async def test_write_fails_when_another_file_has_taken_the_place(tmp_path: Path) -> None:
    """A backup was restored under a running daemon, which must neither write to it nor mix it with the open file."""
    database, _ = await open_store(tmp_path)
    file = tmp_path / "store.db"
    shutil.copy(file, tmp_path / "backup.db")
    (tmp_path / "backup.db").replace(file)
    before = file.read_bytes()
    with pytest.raises(StoreError, match="the file was replaced; restart the daemon to use the new one"):
        async with database.write():
            pass
    assert file.read_bytes() == before
    await database.close()
