"""Where requests are kept before they are sent: in memory, or in the store."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from reservd.delivery.journal import Journal
from reservd.errors import StoreError
from reservd.reserve.replenishment.event import ReplenishmentChange, ReplenishmentEvent
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState, RequestPlace
from reservd.store.database import Database
from reservd.store.replenishments import (
    UnreadableRequest,
    load_changes,
    load_remembered,
    load_replenishment,
    load_replenishments,
    load_sequences,
)

_PATIENCE_SECONDS = 5.0


class Remembered(NamedTuple):
    """The requests that are known at the start."""

    records: Sequence[Replenishment | UnreadableRequest] = ()
    """Those that are open, or ended recently."""
    sequences: dict[str, int] = {}  # noqa: RUF012  # a default of a named tuple, never changed
    """The sequence of the newest change, by mode."""


class RefillLedger:
    """Keeps nothing, for a reserve manager that is embedded without a store.

    Attributes:
        loaded: Whether what was kept is in memory. Until then a change of it would be lost when it is loaded.
    """

    loaded = True

    async def load(self, since: datetime) -> Remembered:
        """Return the requests that are open or ended after a time."""
        del since
        return Remembered()

    def change(self, change: ReplenishmentChange) -> int:
        """Take a change. Return its position, for `written`."""
        del change
        return 0

    def keep(self, record: Replenishment) -> None:
        """Take a record that changed only in details that no event reports."""

    async def written(self, position: int) -> None:
        """Wait until a change is certain to be kept.

        Raises:
            StoreError: If it is not kept in time; it may be later.
        """

    async def find(self, replenishment_id: str) -> Replenishment | None:
        """Return a request that is not in memory any more."""
        del replenishment_id
        return None

    async def list(
        self, limit: int, mode: str | None, states: Iterable[ReplenishmentState] | None, before: RequestPlace | None
    ) -> Sequence[Replenishment] | None:
        """Return requests, newest first; None if all of them are in memory."""
        del limit, mode, states, before
        return None

    async def changes(self, replenishment_id: str) -> Sequence[ReplenishmentEvent]:
        """Return the changes of a request, in order; empty if they are not kept."""
        del replenishment_id
        return ()


class StoredLedger(RefillLedger):
    """Keeps everything in the store, through its owner's journal.

    Args:
        database: The store.
        journal: Writes to it.
    """

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal
        self.loaded = False

    async def load(self, since: datetime) -> Remembered:
        """Return the requests that are open or ended after a time.

        Raises:
            StoreError: If the store cannot be read. So do the other methods that read.
        """
        async with self._database.read() as connection:
            remembered = Remembered(await load_remembered(connection, since), await load_sequences(connection))
        self.loaded = True
        return remembered

    def change(self, change: ReplenishmentChange) -> int:
        """Write a change with the journal's next write, and publish it."""
        return self._journal.replenishment_changed(change)

    def keep(self, record: Replenishment) -> None:
        """Write a record with the journal's next write."""
        self._journal.keep_replenishment(record)

    async def written(self, position: int) -> None:
        """Wait until a change is in the store."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._journal.until_written(position)
        except TimeoutError:
            raise StoreError(
                f"{self._database.description}: did not accept the change within {_PATIENCE_SECONDS:g} s"
            ) from None

    async def find(self, replenishment_id: str) -> Replenishment | None:
        """Return a request."""
        async with self._database.read() as connection:
            return await load_replenishment(connection, replenishment_id)

    async def list(
        self, limit: int, mode: str | None, states: Iterable[ReplenishmentState] | None, before: RequestPlace | None
    ) -> Sequence[Replenishment]:
        """Return requests, newest first."""
        async with self._database.read() as connection:
            return await load_replenishments(connection, limit, mode, states, before)

    async def changes(self, replenishment_id: str) -> Sequence[ReplenishmentEvent]:
        """Return the changes of a request, in order."""
        async with self._database.read() as connection:
            return await load_changes(connection, replenishment_id)
