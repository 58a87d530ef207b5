"""Where the dispatchers get their letters, and where they report outcomes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from reservd.delivery.journal import Journal
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import AnyEvent
from reservd.store.database import Database
from reservd.store.letters import (
    Letter,
    Stream,
    load_last_change,
    load_latest_events,
    load_letters,
    load_pending_modes,
)
from reservd.store.outbox import Outcome


class Outbox:
    """The source of letters and the destination of their outcomes.

    Args:
        database: The store.
        journal: Writes to the store.
        modes: The modes whose events each sink receives, by sink.
    """

    def __init__(self, database: Database, journal: Journal, modes: Mapping[str, Sequence[str]]) -> None:
        self._database = database
        self._journal = journal
        self._modes = modes

    async def load_modes(self, sink: str) -> list[str]:
        """Return the modes with pending letters for a sink, including modes that are no longer routed to it.

        Raises:
            StoreError: If the store cannot be read. So do the other methods that load.
        """
        async with self._database.read() as connection:
            return await load_pending_modes(connection, sink)

    async def load(self, sink: str, stream: Stream, after: int, limit: int) -> list[Letter]:
        """Return the pending letters of a stream for a sink after a position, in order."""
        mode = stream.mode
        async with self._database.read() as connection:
            letters = await load_letters(connection, sink, stream, after, limit)
            if letters and mode not in self._journal.changes:
                self._journal.changes[mode] = await load_last_change(connection, mode)
        return letters

    async def load_latest(self, sink: str, at: datetime) -> list[ReserveEvent]:
        """Return the newest event of each mode that was routed to a sink, except for modes that are silenced then."""
        modes = [mode for mode in self._modes.get(sink, ()) if not self.is_silenced(mode, at)]
        async with self._database.read() as connection:
            return await load_latest_events(connection, sink, modes)

    @property
    def epoch(self) -> int | None:
        """The epoch of this owner of the store; None while it is not the owner."""
        return self._journal.epoch

    async def may_send(self) -> bool:
        """Wait until it is clear whether events may be sent. Return False once another daemon owns the store."""
        return await self._journal.may_send()

    def is_written(self, position: int) -> bool:
        """Return whether an event is in the store."""
        return self._journal.is_written(position)

    def is_silenced(self, mode: str, at: datetime) -> bool:
        """Return whether an operator's silence covers a mode at that time."""
        return self._journal.silences.cover(mode, at)

    def is_superseded(self, event: AnyEvent) -> bool:
        """Return whether a newer status of the mode is known. A message about a refill is never superseded."""
        return isinstance(event, ReserveEvent) and self._journal.changes.get(event.strategy_mode, 0) > event.sequence

    def settle(self, outcome: Outcome) -> None:
        """Take the outcome of a delivery."""
        self._journal.settle(outcome)
