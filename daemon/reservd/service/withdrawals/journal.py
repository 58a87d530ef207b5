"""Decides withdrawals in memory and stores them in one transaction before any of them is answered."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.config.mode import ModeConfig
from reservd.errors import OwnershipLostError, StoreError, TooManyWaitError
from reservd.log import plain_traceback
from reservd.monitor.clock import Clock, SteadyClock
from reservd.reserve.holds import CLOCKS_DIFFER_BY, Hold, HoldState
from reservd.reserve.holds.book import HoldBook
from reservd.service.withdrawals.desk import HoldDesk, shown_for
from reservd.service.withdrawals.loading import read_accepted, read_payouts, read_shown
from reservd.store.account_groups import save_accounts
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot, add_snapshots
from reservd.store.holds import (
    load_by_ids,
    load_by_keys,
    load_hold,
    load_holds,
    readable,
    save_holds,
    save_levels,
    unreadable,
)
from reservd.store.ownership import Ownership

log = structlog.get_logger(__name__)
T = TypeVar("T")

_MAX_A_WRITE = 500
_MAX_WAITING = 20_000
_PATIENCE_SECONDS = 30.0
"""How long a caller waits before it is told that nothing is certain."""
_RETRY_SECONDS = 1.0
_END_SECONDS = 2.0


@dataclass(slots=True)
class _Waiting:
    """An operation, and the caller that waits for its result."""

    operation: Callable[[HoldBook], Any]
    key: tuple[str, str] | None
    hold_id: str | None
    answer: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None

    def carry_out(self, book: HoldBook) -> None:
        """Run the operation. Its error is raised at the caller."""
        try:
            self.result = self.operation(book)
        except Exception as error:  # noqa: BLE001  # raised at the caller
            self.error = error

    def reply(self) -> None:
        """Answer the caller, if it still waits."""
        if self.answer.done():
            return
        if self.error is not None:
            self.answer.set_exception(self.error)
        else:
            self.answer.set_result(self.result)


class HoldJournal(HoldDesk):
    """The only writer of an owner's holds.

    Concurrent calls are decided in the order of their arrival, in memory, within one transaction that checks that this
    daemon owns the store. They are answered when it is committed. After a failed transaction, which may have been
    committed all the same, everything is read again before the next decision, and likewise after the machine's clock
    was set back.

    Args:
        database: The store.
        ownership: Held by this daemon.
        clock: The clock.
        configs: By mode.
    """

    _most_ended = 0

    def __init__(
        self, database: Database, ownership: Ownership, clock: Clock, configs: Mapping[str, ModeConfig]
    ) -> None:
        periods = {
            mode: config.withdrawal.period
            for mode, config in configs.items()
            if config.withdrawal.maximum_per_period is not None
        }
        super().__init__(periods.__contains__, clock)
        self._database = database
        self._ownership = ownership
        self._periods = periods
        self._currencies = {mode: config.share_class for mode, config in configs.items()}
        self._shown_for = shown_for(configs.values())
        self._waiting: deque[_Waiting] = deque()
        self._snapshots: dict[str, KeptSnapshot] = {}
        self._stored: dict[str, datetime] = {}
        self._news = asyncio.Event()
        self._writing: frozenset[str] = frozenset()
        self.up = False

    async def open(self) -> None:
        """Load the holds.

        Raises:
            StoreError: If the store cannot be read.
        """
        steady = SteadyClock(self._clock)
        book = HoldBook(self.is_limited)
        book.group_by(self.grouping)
        self._stored = {}
        async with self._database.read() as connection:
            await read_accepted(connection, book, self._periods, self._currencies, steady.now())
            await read_shown(connection, book, steady.now() - self._shown_for)
            await read_payouts(connection, book, self._currencies, self.counted_from())
        self.book, self.steady, self._looked = book, steady, None
        self._writing = frozenset()
        self.up = True
        if book.changed:  # some holds move with their modes
            self.note_changes()

    async def submit(
        self, operation: Callable[[HoldBook], T], *, key: tuple[str, str] | None = None, hold_id: str | None = None
    ) -> T:
        """Run an operation and return its result once its changes are stored.

        Raises:
            StoreError: If it is not certain that they are stored.
        """
        if not self.up:
            raise StoreError(f"{self._database.description}: holds cannot be stored now")
        if len(self._waiting) >= _MAX_WAITING:
            raise TooManyWaitError(f"{_MAX_WAITING} operations on holds wait for the store")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(operation, key, hold_id, answer))
        self._news.set()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                return await answer
        except TimeoutError:
            raise StoreError(f"{self._database.description}: no answer within {_PATIENCE_SECONDS:g} s") from None

    def is_kept(self, hold_id: str) -> bool:
        """Return whether the state of a hold in the book is in the store."""
        return self.up and hold_id not in self._writing

    def note_changes(self) -> None:
        """Store the changes in the book with the next write."""
        self._news.set()

    def keep_snapshot(self, snapshot: KeptSnapshot) -> None:
        """Store a snapshot together with the decision that is based on it."""
        mode = snapshot.snapshot.strategy_mode
        if self._stored.get(mode) != snapshot.snapshot.timestamp:
            self._snapshots[mode] = snapshot

    async def load(
        self, mode: str | None, states: Collection[HoldState] | None, limit: int, before: int | None
    ) -> Sequence[Hold]:
        """Return holds, newest first."""
        async with self._database.read() as connection:
            return await load_holds(connection, mode, states, limit=limit, before=before)

    async def find(self, hold_id: str) -> Hold | None:
        """Return the hold with an id; None when there is none."""
        found = self.book.find(hold_id)
        if found is not None:
            return found
        async with self._database.read() as connection:
            return await load_hold(connection, hold_id)

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._waiting or self.book.changed:
                    await self._write(self._take())
        finally:
            self.up = False
            self._turn_away(self._waiting, "reservd is stopping, or another daemon owns the store")

    def _take(self) -> list[_Waiting]:
        # Operations whose callers no longer wait are dropped: nobody would learn the decision.
        taken = [self._waiting.popleft() for _ in range(min(_MAX_A_WRITE, len(self._waiting)))]
        return [each for each in taken if not each.answer.done()]

    async def _write(self, batch: list[_Waiting]) -> None:
        """Run and store a batch. If that fails, wait until the store can be read again."""
        writing = asyncio.ensure_future(self._commit(batch))
        try:
            await asyncio.shield(writing)
        except OwnershipLostError:
            raise
        except Exception as error:  # noqa: BLE001  # defects included: nobody knows what was committed
            self.up = False
            known = isinstance(error, StoreError)
            why = str(error) if known else f"a bug in reservd ({type(error).__name__})"
            told = {} if known else {"exception": plain_traceback(error)}
            log.error("holds.failed", error=why, **told)  # noqa: TRY400  # the store's error says it all
            self._turn_away(batch, why)
            self._turn_away(self._waiting, why)
            await self._reopen()
        finally:
            # Cancelled, or another owner. A commit in progress is answered when it ends.
            if not writing.done():
                await asyncio.wait({writing}, timeout=_END_SECONDS)
                writing.cancel()
            self._turn_away(batch, "reservd is stopping, or another daemon owns the store")

    async def _commit(self, batch: list[_Waiting]) -> None:
        if self.steady.ahead() > CLOCKS_DIFFER_BY:
            # By the new clock, what was left out of memory as too old may be recent.
            self.heed_clock()
            await self._store([])
            await self.open()
        await self._store(batch)

    async def _store(self, batch: list[_Waiting]) -> None:
        began = self._clock.now().monotonic
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            await self._recall(connection, batch)
            for each in batch:
                if each.error is None:
                    each.carry_out(self.book)
            changes = self.book.take_changes()
            self._writing = frozenset(hold.id for hold in changes.holds)
            snapshots, self._snapshots = self._snapshots, {}
            self._stored |= {mode: each.snapshot.timestamp for mode, each in snapshots.items()}
            await add_snapshots(connection, list(snapshots.values()))
            await save_holds(connection, changes.holds)
            await save_levels(connection, changes.levels)
            await save_accounts(connection, changes.accounts)
        self._writing = frozenset()
        self._ownership.renewed(began)
        for each in batch:
            each.reply()

    async def _recall(self, connection: AsyncConnection, batch: Sequence[_Waiting]) -> None:
        """Load what the batch looks up, including holds that ended long ago."""
        keys = {each.key for each in batch if each.key is not None and self.book.find_key(*each.key) is None}
        ids = {each.hold_id for each in batch if each.hold_id is not None and self.book.find(each.hold_id) is None}
        found = [*await load_by_keys(connection, keys), *await load_by_ids(connection, ids)]
        self.book.load(readable(found))
        for hold in unreadable(found):
            # Nobody knows what was answered or is held, so it is neither decided again nor changed.
            why = StoreError(f"{self._database.description}: withdrawal {hold.id} cannot be read")
            for each in batch:
                if each.hold_id == hold.id or each.key == (hold.mode, hold.key):
                    each.error = why

    async def _reopen(self) -> None:
        while not self.up:
            await asyncio.sleep(_RETRY_SECONDS)
            try:
                await self.open()
            except StoreError as error:
                log.debug("holds.unreadable", error=str(error))
        log.info("holds.recovered")

    def _turn_away(self, waiting: Iterable[_Waiting], why: str) -> None:
        for each in waiting:
            each.error = StoreError(f"{self._database.description}: {why}")
            each.reply()
