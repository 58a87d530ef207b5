"""Ensures one owner of a store at a time: how a standby takes over, and how a stale owner is refused."""

import asyncio
import contextlib
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from sqlalchemy import Row, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.errors import OwnershipLostError, SchemaError, StoreError
from reservd.store.database import Database
from reservd.store.owner_watch import TAKE_OVER_AFTER_SECONDS, Beat, OwnerWatch
from reservd.store.process_lock import ProcessLock
from reservd.store.schema import prepare
from reservd.store.tables import owner

log = structlog.get_logger(__name__)

ACT_FOR_SECONDS = 8.0
"""An owner that could not renew for that long requests no refill and promises nothing."""
RENEW_EVERY_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 1.0
_ASK_SECONDS = 3.0
_SPEAK_FOR_SECONDS = TAKE_OVER_AFTER_SECONDS - ACT_FOR_SECONDS
"""How long alarms may be sent after the store did not answer who owns it. Even if that was asked at the last moment at
which no other daemon could own the store, the time is over when one can."""
_BLIND_AFTER_SECONDS = 15.0
_ROW = 1


class Ownership:
    """The right to write to a store: a lease held by an epoch that every write carries.

    Each write of the owner is a heartbeat. A standby that sees none for 12 s, measured on its own monotonic clock,
    raises the epoch, and from then on every write of the previous owner is refused. On SQLite the owner also holds a
    lock that the kernel drops when the process ends, so that a restart need not wait.

    Args:
        database: The store.
        monotonic: Returns the time in seconds, unaffected by changes of the clock.
        sleep: Waits for a number of seconds.

    Attributes:
        epoch: The epoch of this owner; 0 while it is not the owner.
        holder: The name of this daemon in the store.
    """

    def __init__(
        self,
        database: Database,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._monotonic = monotonic
        self._sleep = sleep
        self.holder = f"{socket.gethostname()}/{os.getpid()}"
        self.epoch = 0
        self._renewed_at = 0.0
        self._undisputed_until = -math.inf
        self._owner_watch = OwnerWatch(monotonic())
        self._complaint = ""
        self._lock = ProcessLock(database.path)
        self._prepared = False

    @property
    def fresh(self) -> bool:
        """Whether ownership was renewed so recently that no other daemon can own the store."""
        return self.epoch > 0 and self._monotonic() - self._renewed_at < ACT_FOR_SECONDS

    @property
    def undisputed(self) -> bool:
        """Whether alarms may be sent: no other daemon can own the store, or the store did not answer just now."""
        return self.fresh or self._monotonic() < self._undisputed_until

    @property
    def waits(self) -> bool:
        """Whether this daemon stands by: it recently saw the heartbeat of another owner."""
        return self.epoch == 0 and self._owner_watch.is_alive(self._monotonic())

    async def acquire(self) -> None:
        """Wait until this daemon owns the store. Create its tables when it is empty.

        Raises:
            SchemaError: If a newer reservd wrote it.
            StoreError: If it can be neither read nor taken, and no daemon is known to be watching: alarms must not wait
                for the store.
        """
        if self.epoch:
            return
        self._owner_watch = OwnerWatch(self._monotonic())
        while not await self._look():
            if self._owner_watch.is_vain(self._monotonic(), _BLIND_AFTER_SECONDS):
                self._undisputed_until = self._monotonic() + ACT_FOR_SECONDS
                raise StoreError(
                    self._complaint or f"{self._database.description}: nobody owns it, but it could not be acquired"
                )
            await self._sleep(_LOOK_EVERY_SECONDS)

    async def reacquire(self) -> None:
        """Wait until this daemon owns a store that was not available before. The daemon runs from memory until then.

        Raises:
            SchemaError: If a newer reservd wrote it.
            OwnershipLostError: If another daemon is seen to own it: that one watches.
        """
        while not self.epoch and not await self._look():
            if self.waits:
                raise self._lost()
            self._undisputed_until = self._monotonic() + ACT_FOR_SECONDS
            await self._sleep(_LOOK_EVERY_SECONDS)

    async def ask(self) -> None:
        """Check whether the store refuses writes because another daemon owns it, unless that is ruled out.

        Raises:
            OwnershipLostError: If another daemon owns it.
        """
        if not self.fresh:
            with contextlib.suppress(StoreError, TimeoutError):  # the store does not answer
                async with asyncio.timeout(_ASK_SECONDS), self._database.read(anew=True) as connection:
                    epoch = await connection.scalar(select(owner.c.epoch).where(owner.c.id == _ROW))
                if epoch != self.epoch:
                    raise self._lost()
        self._undisputed_until = self._monotonic() + _SPEAK_FOR_SECONDS

    async def fence(self, connection: AsyncConnection) -> None:
        """Renew ownership within a write, and refuse the write when another daemon owns the store.

        Raises:
            OwnershipLostError: If another daemon owns it.
        """
        renewed = await connection.execute(
            update(owner).where(owner.c.id == _ROW, owner.c.epoch == self.epoch).values(heartbeat=owner.c.heartbeat + 1)
        )
        if renewed.rowcount != 1:
            raise self._lost()

    def renewed(self, at: float) -> None:
        """Record that a write which began at that monotonic second was committed."""
        self._renewed_at = at

    def forget(self) -> None:
        """Give up ownership and start over: the store was taken and then did not answer."""
        self.epoch = 0
        self._lock.release()

    async def release(self) -> None:
        """Release the store, so that a standby need not wait. Never raises."""
        with contextlib.suppress(StoreError, TimeoutError):
            if self.epoch:
                async with asyncio.timeout(1), self._database.write() as connection:
                    mine = update(owner).where(owner.c.id == _ROW, owner.c.epoch == self.epoch)
                    await connection.execute(mine.values(holder=None))
        self.forget()

    def _lost(self) -> OwnershipLostError:
        self.epoch = 0
        self._undisputed_until = -math.inf
        return OwnershipLostError(f"{self._database.description}: another daemon owns the store now")

    async def _look(self) -> bool:
        """Read the store once. Return whether this daemon owns it now."""
        asked_at = self._monotonic()
        try:
            row = await self._read()
        except SchemaError:
            raise
        except StoreError as error:
            beat = self._owner_watch.beat
            ended = beat is not None and self._lock.is_orphaned(beat[0])
            self._owner_watch.could_not_look(self._monotonic(), ended=ended)
            self._complain(error)
            return False
        if row is not None:
            self._note(row)
        why = self._why_take(row, asked_at)
        if not why:
            return False
        try:
            return await self._take(self._owner_watch.beat if row is not None else None, asked_at, why)
        except StoreError as error:
            self._owner_watch.could_not_take(self._monotonic())
            self._complain(error)
            return False

    async def _read(self) -> Row[Any] | None:
        if not self._prepared:
            await prepare(self._database)
            self._prepared = True
        async with self._database.read() as connection:
            return (await connection.execute(select(owner).where(owner.c.id == _ROW))).one_or_none()

    def _note(self, row: Row[Any]) -> None:
        stood_by = self.waits
        first = self._owner_watch.beat is None
        if self._owner_watch.saw((row.epoch, row.heartbeat), self._monotonic()):
            self._complaint = ""
            if not stood_by and self.waits:
                log.info("ownership.waiting", owner=row.holder)
        elif first:
            log.info("ownership.seen", owner=row.holder)

    def _why_take(self, row: Row[Any] | None, asked_at: float) -> str:
        """Return why to take the store; an empty string if it must not be taken."""
        if row is None:
            return "first"
        if row.holder is None:
            return "given up"
        if self._lock.is_orphaned(row.epoch):
            return "its process ended"
        return "no heartbeat" if self._owner_watch.is_due(asked_at) else ""

    async def _take(self, seen: Beat | None, asked_at: float, why: str) -> bool:
        epoch = seen[0] + 1 if seen is not None else 1
        if not self._lock.hold(epoch):
            self._owner_watch.could_not_take(self._monotonic())  # another standby is about to
            return False
        try:
            async with self._database.write() as connection:
                taken = await self._raise_epoch(connection, seen, epoch)
        except StoreError:
            self._lock.release()
            raise
        if not taken:
            self._lock.release()
            return False
        self._lock.settle(epoch)
        self.epoch = epoch
        self._renewed_at = asked_at
        self._complaint = ""
        log.info("ownership.taken", epoch=epoch, why=why)
        return True

    def _complain(self, error: StoreError) -> None:
        """Log why the store is unavailable, once per reason."""
        if str(error) != self._complaint:
            log.warning("store.unreachable", error=str(error))
        self._complaint = str(error)

    async def _raise_epoch(self, connection: AsyncConnection, seen: Beat | None, epoch: int) -> bool:
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
