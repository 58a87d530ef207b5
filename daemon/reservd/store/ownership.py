"""One owner of a store at a time: the rule by which a standby takes over and a stale owner is refused."""

import asyncio
import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import OwnershipLostError, SchemaError, StoreError
from reservd.store.database import Database
from reservd.store.schema import prepare
from reservd.store.tables import owner

log = structlog.get_logger(__name__)

TAKE_OVER_AFTER_SECONDS = 12.0
ACT_FOR_SECONDS = 8.0
"""An owner that could not renew for so long asks for no refill and promises nothing."""
RENEW_EVERY_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 1.0
_BLIND_AFTER_SECONDS = 15.0
_ROW = 1
_FILE_MODE = 0o600


class Ownership:
    """The right to act on a store, held by an epoch that every write carries.

    Each write of the owner is a heartbeat. A standby that sees none for `TAKE_OVER_AFTER_SECONDS`,
    measured on its own monotonic clock, raises the epoch, and whatever the owner before writes from
    then on is refused. On SQLite the owner also holds a lock that the kernel drops when the process
    ends, so that a restart need not wait.

    Attributes:
        epoch: Which owner this is; 0 while it is none.
        holder: What the store shows of it.
    """

    def __init__(self, database: Database, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._monotonic = monotonic
        self.holder = f"{socket.gethostname()}/{os.getpid()}"
        self.epoch = 0
        self._renewed_at = 0.0
        self._seen: tuple[int, int] | None = None
        self._seen_at = 0.0
        self._lock = _ProcessLock(database.path)
        self._prepared = False

    @property
    def fresh(self) -> bool:
        """Whether it was renewed so lately that nobody else can own the store."""
        return self.epoch > 0 and self._monotonic() - self._renewed_at < ACT_FOR_SECONDS

    @property
    def waits(self) -> bool:
        """Whether it stands by: another daemon was seen to own the store."""
        return self._seen is not None

    async def acquire(self, blind_after_seconds: float = _BLIND_AFTER_SECONDS) -> None:
        """Wait until this daemon owns the store; make its tables when it is empty.

        Raises:
            SchemaError: If a newer reservd wrote it.
            StoreError: If the store could not be reached from the start. Once it was, it is waited for: an owner
                may be there that reaches it.
        """
        if self.epoch:
            return
        started = self._monotonic()
        reached = False
        complained = False
        while True:
            try:
                if await self._try():
                    return
                reached, complained = True, False
            except SchemaError:
                raise
            except StoreError as error:
                if not reached and self._monotonic() - started > blind_after_seconds:
                    raise
                if not complained:
                    log.warning("store.unreachable", error=str(error))
                complained = True
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def fence(self, connection: AsyncConnection) -> None:
        """Renew within a write, and refuse the write when another daemon owns the store.

        Raises:
            OwnershipLostError: If it does.
        """
        renewed = await connection.execute(
            update(owner).where(owner.c.id == _ROW, owner.c.epoch == self.epoch).values(heartbeat=owner.c.heartbeat + 1)
        )
        if renewed.rowcount != 1:
            self.epoch = 0
            raise OwnershipLostError(f"{self._database.description}: another daemon owns the store now")

    def renewed(self, at: float) -> None:
        """Note that a write which began at that monotonic second was committed."""
        self._renewed_at = at

    def forget(self) -> None:
        """Begin anew: the store was taken and then gave no answer."""
        self.epoch = 0
        self._lock.release()

    async def release(self) -> None:
        """Give the store up, so that a standby need not wait. Never raises."""
        with contextlib.suppress(StoreError, TimeoutError):
            if self.epoch:
                async with asyncio.timeout(1), self._database.write() as connection:
                    mine = update(owner).where(owner.c.id == _ROW, owner.c.epoch == self.epoch)
                    await connection.execute(mine.values(holder=None))
        self.forget()

    async def _try(self) -> bool:
        """Look once; return whether the store is owned by this daemon now."""
        if not self._prepared:
            await prepare(self._database)
            self._prepared = True
        now = self._monotonic()
        async with self._database.read() as connection:
            row = (await connection.execute(select(owner).where(owner.c.id == _ROW))).one_or_none()
        if row is None:
            return await self._take(None, now, "first")
        beat = (row.epoch, row.heartbeat)
        if beat != self._seen:
            if self._seen is None:
                log.info("ownership.waiting", owner=row.holder)
            self._seen, self._seen_at = beat, now
        if row.holder is None:
            return await self._take(beat, now, "given up")
        if self._lock.is_orphaned(row.epoch):
            return await self._take(beat, now, "its process ended")
        if now - self._seen_at >= TAKE_OVER_AFTER_SECONDS:
            return await self._take(beat, now, "no heartbeat")
        return False

    async def _take(self, seen: tuple[int, int] | None, now: float, why: str) -> bool:
        epoch = seen[0] + 1 if seen is not None else 1
        if not self._lock.hold(epoch):
            return False  # another standby is about to take it
        try:
            async with self._database.write() as connection:
                taken = await self._raise_epoch(connection, seen, epoch)
        except StoreError:
            self._lock.release()
            raise
        if not taken:
            self._lock.release()
            return False
        self.epoch = epoch
        self._renewed_at = now
        self._seen = None
        log.info("ownership.taken", epoch=epoch, why=why)
        return True

    async def _raise_epoch(self, connection: AsyncConnection, seen: tuple[int, int] | None, epoch: int) -> bool:
        if seen is None:
            try:
                await connection.execute(insert(owner).values(id=_ROW, epoch=epoch, holder=self.holder, heartbeat=1))
            except IntegrityError:
                await connection.rollback()
                return False
            return True
        row = update(owner).where(owner.c.id == _ROW, owner.c.epoch == seen[0], owner.c.heartbeat == seen[1])
        taken = await connection.execute(row.values(epoch=epoch, holder=self.holder, heartbeat=seen[1] + 1))
        return taken.rowcount == 1


class _ProcessLock:
    """Proves on one machine that the process which owned a SQLite store has ended.

    Each owner locks a file of its own epoch beside the store before it takes it. The kernel drops
    the lock with the process, not while that is stopped.
    """

    def __init__(self, store: Path | None) -> None:
        self._store = store
        self._held: tuple[int, Path] | None = None

    def hold(self, epoch: int) -> bool:
        """Lock for an epoch; false when another process has it. Always true on PostgreSQL."""
        if self._store is None:
            return True
        path = self._path(self._store, epoch)
        self._store.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _lock(path, os.O_CREAT)
        if descriptor is None:
            return False
        self.release()
        self._held = descriptor, path
        self._path(self._store, epoch - 1).unlink(missing_ok=True)
        return True

    def is_orphaned(self, epoch: int) -> bool:
        """Whether that epoch's owner locked its file and no longer does."""
        if self._store is None:
            return False
        descriptor = _lock(self._path(self._store, epoch), 0)
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def release(self) -> None:
        """Drop the lock."""
        if self._held is not None:
            descriptor, path = self._held
            self._held = None
            path.unlink(missing_ok=True)
            os.close(descriptor)

    @staticmethod
    def _path(store: Path, epoch: int) -> Path:
        return store.with_name(f"{store.name}-owner-{epoch}")


def _lock(path: Path, flags: int) -> int | None:
    """Return a descriptor that holds the lock; None when the file is not there or is locked."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, _FILE_MODE)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
