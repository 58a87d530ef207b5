"""Who owns a store, on a clock that the test moves: minutes take no time, and are exact to a tenth of a second."""

import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import text

import reservd.store.database
from reservd.errors import OwnershipLostError, StoreError
from reservd.store.database import Database, parse_url
from reservd.store.ownership import RENEW_EVERY_SECONDS, Ownership
from support.sleeping_clock import SleepingClock


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make SQLite's locks time out quickly, since they use the real clock."""
    monkeypatch.setattr(reservd.store.database, "_BUSY_SECONDS", 0.01)


@asynccontextmanager
async def another(database: Database) -> AsyncIterator[Database]:
    """The same store for another daemon, with connections of its own."""
    url = database._writer.url
    opened = Database(url)
    yield opened
    await opened.close()


async def beat(owner: Ownership, database: Database) -> None:
    """Write as an owner does."""
    async with database.write() as connection:
        await owner.fence(connection)


@asynccontextmanager
async def read_only(database: Database, *, is_read_only: bool = True) -> AsyncIterator[None]:
    """Make a store read-only, as a replica is."""
    if database.path is not None:
        with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    name = database._writer.url.database
    async with database.write() as connection:
        await connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    await database.close()  # this holds for new connections
    yield
    async with database.write() as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        await connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    await database.close()


def abandon(owner: Ownership) -> None:
    """End the owner as the kernel does with its process: the lock is released, its file remains."""
    held = owner._lock._held
    if held is not None:
        os.close(held[0])
        owner._lock._held = None


def locks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*-owner-*"))


@pytest.mark.parametrize("died_at", [0.1, 0.9, 1.0, 1.7, 2.0, 3.3])
async def test_standby_takes_over_within_15_seconds_of_the_owners_death(died_at: float, database: Database) -> None:
    """Its machine fails, so that its lock is not released and says nothing."""
    clock = SleepingClock()
    owner = Ownership(database, clock, clock.sleep)
    await owner.acquire()
    async with another(database) as elsewhere:
        standby = Ownership(elsewhere, clock, clock.sleep)

        async def goes_on(second: float) -> None:
            if second <= died_at and not round(second % RENEW_EVERY_SECONDS, 1):
                await beat(owner, database)

        clock.meanwhile = goes_on
        await standby.acquire()
        assert standby.epoch == 2
        assert clock.seconds - died_at <= 15
        assert clock.seconds >= 12, "never before the owner must have stopped"
        with pytest.raises(OwnershipLostError):
            await beat(owner, database)


async def test_standby_stands_by_as_long_as_the_owners_heart_beats(database: Database) -> None:
    clock = SleepingClock()
    owner = Ownership(database, clock, clock.sleep)
    await owner.acquire()
    async with another(database) as elsewhere:
        standby = Ownership(elsewhere, clock, clock.sleep)
        stood_by: list[bool] = []

        async def goes_on(second: float) -> None:
            if second < 60 and not round(second % RENEW_EVERY_SECONDS, 1):
                await beat(owner, database)
            stood_by.append(standby.waits)

        clock.meanwhile = goes_on
        await standby.acquire()
    assert clock.seconds >= 70
    first = stood_by.index(True)
    assert first < 45, "within some seconds of a heartbeat"
    assert all(stood_by[first:600])
    assert not stood_by[-1]


async def test_standby_takes_nothing_from_a_living_owner_when_an_outage_ends(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is unavailable to both for twenty seconds: the owner then has 12 s for its next heartbeat."""
    clock = SleepingClock()
    owner = Ownership(database, clock, clock.sleep)
    await owner.acquire()
    async with another(database) as elsewhere:
        standby = Ownership(elsewhere, clock, clock.sleep)
        there = elsewhere.read

        @asynccontextmanager
        async def gone() -> AsyncIterator[None]:
            raise StoreError("gone")
            yield

        async def goes_on(second: float) -> None:
            out = 5 <= second < 25
            monkeypatch.setattr(elsewhere, "read", gone if out else there)
            # The first write after the outage is late: the owner waited for a timeout of its connection.
            if second < 60 and not out and not 25 <= second < 35 and not round(second % RENEW_EVERY_SECONDS, 1):
                await beat(owner, database)

        clock.meanwhile = goes_on
        await standby.acquire()
    assert 70 <= clock.seconds < 75, "only after the owner fell silent for good, at 58"


async def test_lone_daemon_does_not_wait_for_ever_when_the_store_cannot_be_written(database: Database) -> None:
    """The owner was killed, then the store became read-only: the remaining daemon must raise alarms."""
    clock = SleepingClock()
    before = Ownership(database, clock, clock.sleep)
    await before.acquire()
    abandon(before)
    async with another(database) as elsewhere:
        lone = Ownership(elsewhere, clock, clock.sleep)
        async with read_only(elsewhere):
            with pytest.raises(StoreError, match=r"locked|read-only"):
                await lone.acquire()
            assert 12 <= clock.seconds <= 25
            assert not lone.waits
        await lone.reacquire()
        assert lone.epoch == 2


async def test_daemon_that_watches_from_memory_stands_by_once_another_owns_the_store(database: Database) -> None:
    """Two daemons started without the store, and both raise alarms. The store comes up, and the other one owns it."""
    clock = SleepingClock()
    async with another(database) as elsewhere:
        first, second = Ownership(database, clock, clock.sleep), Ownership(elsewhere, clock, clock.sleep)
        await first.acquire()

        async def goes_on(second: float) -> None:
            if not round(second % RENEW_EVERY_SECONDS, 1):
                await beat(first, database)

        clock.meanwhile = goes_on
        with pytest.raises(OwnershipLostError):
            await second.reacquire()
        assert clock.seconds <= 4
        assert (second.epoch, second.undisputed) == (0, False)


async def test_daemon_that_watches_from_memory_takes_what_nobody_owns(database: Database) -> None:
    clock = SleepingClock()
    before = Ownership(database, clock, clock.sleep)
    await before.acquire()
    async with another(database) as elsewhere:
        blind = Ownership(elsewhere, clock, clock.sleep)
        seen: list[bool] = []

        async def look(_: float) -> None:
            seen.append(blind.undisputed)

        clock.meanwhile = look
        await blind.reacquire()
    assert 12 <= clock.seconds <= 14
    assert all(seen), "it raises alarms meanwhile"


async def test_owner_that_was_stopped_learns_that_it_is_none_when_it_asks(database: Database) -> None:
    clock = SleepingClock()
    owner = Ownership(database, clock, clock.sleep)
    await owner.acquire()
    clock.seconds = 7.9
    assert owner.undisputed
    clock.seconds = 8.0
    assert not owner.undisputed, "another daemon may be about to take over"
    await owner.ask()
    assert owner.undisputed, "none has"
    clock.seconds = 11.9
    assert owner.undisputed
    async with another(database) as elsewhere:
        standby = Ownership(elsewhere, clock, clock.sleep)
        await standby.acquire()
        assert not owner.undisputed
        with pytest.raises(OwnershipLostError):
            await owner.ask()
        assert (owner.epoch, owner.undisputed) == (0, False)


async def test_owner_may_speak_when_nobody_is_there_to_ask(tmp_path: Path) -> None:
    """As far as is known the store is down: alarms fail open."""
    database = Database(parse_url("sqlite:///store/store.db", tmp_path))
    clock = SleepingClock()
    owner = Ownership(database, clock, clock.sleep)
    await owner.acquire()
    await database.close()
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    clock.seconds = 100.0
    assert not owner.undisputed
    await owner.ask()
    assert owner.undisputed
    assert not owner.fresh, "it may request no refill"


async def test_restart_goes_on_at_once_when_the_process_before_was_killed(tmp_path: Path) -> None:
    """On SQLite the lock shows it. A failed attempt leaves this evidence for the next one."""
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    clock = SleepingClock()
    before = Ownership(database, clock, clock.sleep)
    await before.acquire()
    abandon(before)
    after = Ownership(database, clock, clock.sleep)
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None)

    async def let_go(second: float) -> None:
        if second == 5:
            other.execute("ROLLBACK")

    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        clock.meanwhile = let_go
        await after.acquire()
    assert clock.seconds == 5
    assert locks(tmp_path) == ["store.db-owner-2"]
    await after.release()
    await database.close()


async def test_store_is_not_taken_while_another_standby_takes_it(tmp_path: Path) -> None:
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    clock = SleepingClock()
    before = Ownership(database, clock, clock.sleep)
    await before.acquire()
    await before.release()
    descriptor = os.open(tmp_path / "store.db-owner-2", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    async def fail_to(second: float) -> None:
        if second == 3:
            os.close(descriptor)

    clock.meanwhile = fail_to
    after = Ownership(database, clock, clock.sleep)
    await after.acquire()
    assert (clock.seconds, after.epoch) == (3, 2)
    await after.release()
    await database.close()


async def test_no_lock_can_be_made_is_a_failure_of_the_store(tmp_path: Path) -> None:
    """The folder is read-only or full: this does not mean that another daemon owns the store."""
    database = Database(parse_url("sqlite:///store.db", tmp_path))
    clock = SleepingClock()
    before = Ownership(database, clock, clock.sleep)
    await before.acquire()
    abandon(before)
    (tmp_path / "store.db-owner-2").mkdir()
    with pytest.raises(StoreError, match="Is a directory"):
        await Ownership(database, clock, clock.sleep).acquire()
    assert clock.seconds <= 20
    await database.close()
