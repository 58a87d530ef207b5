"""Writes decisions to the store in batches, and handles a store that does not accept them."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from reservd.delivery.batch import Batch
from reservd.delivery.intake import Intake
from reservd.delivery.observer import DeliveryObserver
from reservd.errors import OwnershipLostError, StoreError
from reservd.log import DefectLog
from reservd.monitor.clock import Clock
from reservd.reserve.kept import KeptState
from reservd.store.database import Database
from reservd.store.ownership import RENEW_EVERY_SECONDS, Ownership
from reservd.store.states import load_states

log = structlog.get_logger(__name__)

_FAIL_OPEN_AFTER_SECONDS = 2.0
"""If a write takes longer, its events are sent before they are stored."""
_RETRY_SECONDS = 1.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Release = Callable[[float], None]
"""Releases the events up to a position: they are stored, or the store is known not to accept them."""


class Writer:
    """An owner's only writer. It writes one batch at a time, each in a transaction that checks who owns the store.

    Decisions that are made during a write go into the next batch, so that one flush of the disk serves many events.

    Args:
        database: The store.
        ownership: Held by this daemon.
        intake: Where batches come from.
        release: Lets events go on to the sinks.
        clock: The clock.
        observers: Notified of the state of the store.

    Attributes:
        written_position: All events up to this position are in the store.
        up: Whether the store took the last write.
    """

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        intake: Intake,
        release: Release,
        clock: Clock,
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        self._database = database
        self._ownership = ownership
        self._intake = intake
        self._release = release
        self._clock = clock
        self._observers = observers
        self._stored: Mapping[str, KeptState] = {}
        self._progress = asyncio.Event()
        self._overlooked = False
        self._defects = DefectLog("journal.broke")
        self.written_position = 0
        self.up = True

    def resume(self, position: int) -> None:
        """Continue after the newest event in the store."""
        self._intake.position = self.written_position = position

    async def until_written(self, position: int) -> None:
        """Wait until everything up to a position is in the store."""
        while self.written_position < position:
            await self._progress.wait()

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        if not self._ownership.epoch:
            await self._run_blind()
            return
        while True:
            await self._intake.until_due(RENEW_EVERY_SECONDS)
            await self._write_next()

    async def flush(self) -> None:
        """Write and release what is left at shutdown. Log what cannot be written."""
        try:
            while self._intake.waiting:
                batch = self._take()
                try:
                    await self._commit(batch)
                except OwnershipLostError:
                    raise
                except Exception as error:  # noqa: BLE001  # logged
                    self._intake.put_back(batch)
                    self._fail_open(self._tell(error))
                    break
                self._written(batch)
        except OwnershipLostError as error:
            log.warning("journal.refused", reason=str(error))
        if self._intake.waiting.events:
            log.error("journal.unwritten", events=len(self._intake.waiting.events))

    async def _run_blind(self) -> None:
        """Keep everything in memory until the store is back, write it, and return, so that the store can be read.

        Until then, positions are counted from the clock, which is above every position in a store.
        """
        self.resume((self._clock.now().wall - _EPOCH) // timedelta(microseconds=1))
        self._fail_open("it has not been available since the start")
        await self._ownership.reacquire()
        self._stored = await self._load()
        await self._write_next()
        while self._intake.waiting.events:
            await self._write_next()

    async def _load(self) -> Mapping[str, KeptState]:
        """Return the stored states. Retry until the store can be read."""
        while True:
            try:
                async with self._database.read() as connection:
                    return await load_states(connection)
            except StoreError as error:
                await self._failed(str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _write_next(self) -> None:
        """Write a batch. If the store does not accept it, release its events from memory and put it back."""
        batch = self._take()
        writing = asyncio.ensure_future(self._commit(batch))
        try:
            while not (await asyncio.wait({writing}, timeout=_FAIL_OPEN_AFTER_SECONDS))[0]:
                await self._failed(f"a write takes longer than {_FAIL_OPEN_AFTER_SECONDS:g} s")
            writing.result()
        except BaseException as error:
            # The write may have succeeded; to repeat it changes nothing.
            writing.cancel()
            await asyncio.wait({writing})
            self._intake.put_back(batch)
            if isinstance(error, OwnershipLostError) or not isinstance(error, Exception):
                raise  # another owner, or cancelled
            if await self._failed(self._tell(error)):
                await asyncio.sleep(_RETRY_SECONDS)
        else:
            self._written(batch)

    def _take(self) -> Batch:
        return self._intake.take().joined_to(self._stored)

    async def _commit(self, batch: Batch) -> None:
        began = self._clock.now().monotonic
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            await batch.write(connection)
        self._ownership.renewed(began)

    def _written(self, batch: Batch) -> None:
        if batch.events:
            self.written_position = batch.events[-1].outbox.position
            self._progress.set()
            self._progress = asyncio.Event()
        self._overlooked = False
        self._note(up=True)
        self._release(self.written_position)

    async def _failed(self, why: str) -> bool:
        """Release the events that the store does not accept, unless another daemon owns it.

        A process that was suspended for long ignores the first failure: its connections may have died in the meantime,
        and the next write, over new ones, shows whether it is still the owner.

        Returns:
            Whether the failure was not ignored.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        if not self._ownership.undisputed and not self._overlooked:
            self._overlooked = True
            return False
        await self._ownership.ask()
        self._fail_open(why)
        return True

    def _tell(self, error: Exception) -> str:
        """Return why a batch was not written. A defect is logged; it must not delay alarms either."""
        if isinstance(error, StoreError):
            return str(error)
        self._defects.tell(error)
        return f"a bug in reservd ({type(error).__name__})"

    def _fail_open(self, why: str) -> None:
        self._note(up=False, why=why)
        self._release(math.inf)

    def _note(self, *, up: bool, why: str = "") -> None:
        if up != self.up:
            if up:
                log.info("store.recovered")
            else:
                log.error("store.failed", error=why)
        self.up = up
        for observer in self._observers:
            observer.store_is(up=up, unwritten=len(self._intake.waiting.events))
