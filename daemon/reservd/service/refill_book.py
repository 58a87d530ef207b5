"""The requests for refills that matter now, found by id and by mode."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

import structlog

from reservd.errors import UnknownReplenishmentError
from reservd.reserve.amounts import ZERO, add
from reservd.reserve.refill_credits import EndedCredits, counted_since
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment_event import ReplenishmentChange, tell_change
from reservd.reserve.replenishment_states import Replenishment
from reservd.service.refill_caller import ReplenishmentObserver
from reservd.service.refill_ledger import RefillLedger, Remembered
from reservd.store.replenishments import UnreadableRequest

log = structlog.get_logger(__name__)

_MOST_OF_WITHDRAWALS = 1_000
"""Ended requests for withdrawals from a mode that stay in memory; the store has all."""


class RefillBook:
    """Records in memory, each change of which goes to the ledger.

    Args:
        ledger: Keeps them.
        observers: Hear of every change.

    Attributes:
        unreadable: The modes of which a request cannot be read.
    """

    def __init__(self, ledger: RefillLedger, observers: Iterable[ReplenishmentObserver] = ()) -> None:
        self._ledger = ledger
        self._observers = tuple(observers)
        self._positions: dict[str, int] = {}
        self._records: dict[str, Replenishment] = {}
        self._by_mode: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._open: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._credits: defaultdict[str, EndedCredits] = defaultdict(EndedCredits)
        self._sequences: dict[str, int] = {}
        self.unreadable: frozenset[str] = frozenset()

    def load(self, remembered: Remembered) -> None:
        """Begin with what is known."""
        self._sequences = dict(remembered.sequences)
        unreadable = [each for each in remembered.records if isinstance(each, UnreadableRequest)]
        for each in unreadable:
            log.error("replenishment.unreadable", mode=each.strategy_mode, replenishment_id=each.id)
        self.unreadable = frozenset(each.strategy_mode for each in unreadable)
        records = [each for each in remembered.records if isinstance(each, Replenishment)]
        self._records = {record.id: record for record in records}
        for record in records:
            self._hold(record)
            if not record.open:
                self._credit(record)
            else:
                for observer in self._observers:
                    observer.replenishment_loaded(record)

    def find(self, replenishment_id: str) -> Replenishment | None:
        """Return the request of that id; None when it is not in memory."""
        return self._records.get(replenishment_id)

    def get(self, replenishment_id: str) -> Replenishment:
        """Return the request of that id.

        Raises:
            UnknownReplenishmentError: If it is not in memory.
        """
        record = self._records.get(replenishment_id)
        if record is None:
            raise UnknownReplenishmentError(f"there is no replenishment {replenishment_id}")
        return record

    def of_mode(self, mode: str) -> list[Replenishment]:
        """Return a mode's requests, in order of request."""
        return [self._records[each] for each in self._by_mode.get(mode, ())]

    def open(self, mode: str | None = None) -> list[Replenishment]:
        """Return the requests from which money may still come, of one mode when given, in order of request."""
        if mode is not None:
            return [self._records[each] for each in self._open.get(mode, ())]
        found = [self._records[each] for of_mode in self._open.values() for each in of_mode]
        return sorted(found, key=lambda record: record.request.requested_at)

    def ended_since(self, modes: Iterable[str], at: datetime) -> Decimal:
        """Return what is credited to requests of some modes that ended after then."""
        total = ZERO
        for mode in modes:
            if mode in self._credits:
                total = add(total, self._credits[mode].since(at))
        return total

    def newest(self) -> Iterator[Replenishment]:
        """Yield all requests in memory, newest first."""
        return iter(sorted(self._records.values(), key=lambda record: record.place, reverse=True))

    def outstanding(self, mode: str) -> Decimal:
        """Return what is still to come for a mode."""
        total = ZERO
        for record in self.open(mode):
            total = add(total, record.outstanding)
        return total

    def put(self, record: Replenishment) -> None:
        """Take in a new request or a change of one.

        What is published is a change of its state, of what it waits for, or of what stands in for it.
        """
        before = self._records.get(record.id)
        if before == record:
            return
        self._hold(record)
        if not record.open and (before is None or before.open):
            self._credit(record)
        for observer in self._observers:
            observer.replenishment_changed(record, before)
        if before is not None and _told(before) == _told(record):
            self._ledger.keep(record)
            return
        mode = record.request.strategy_mode
        self._sequences[mode] = self._sequences.get(mode, 0) + 1
        event = tell_change(record, before.state if before else None, str(uuid.uuid4()), self._sequences[mode])
        self._positions[record.id] = self._ledger.change(ReplenishmentChange(record, event))
        log.info(
            "replenishment.changed",
            mode=mode,
            id=record.id,
            state=str(record.state),
            arrived=str(record.arrived),
            detail=record.detail,
            by=record.by,
        )

    async def written(self, replenishment_id: str) -> None:
        """Wait until the last change of a request is kept for certain.

        Raises:
            StoreError: If it is not in time; it may be later.
        """
        await self._ledger.written(self._positions.get(replenishment_id, 0))

    def forget(self, mode: str, policy: RefillPolicy, now: datetime) -> None:
        """Leave out of memory what ended too long ago to matter to a decision about a mode."""
        ended = [record for record in self.of_mode(mode) if not record.open]
        old = [record for record in ended if not policy.remembers(record.changed_at, now)]
        # Cooldowns and budgets go by what is the mode's own, of which nothing may be lost among withdrawals.
        of_withdrawals = [record for record in ended if record.request.withdrawal_id is not None]
        self._drop(old or of_withdrawals[:-_MOST_OF_WITHDRAWALS])
        if mode in self._credits:
            counted = [counted_since(record) for record in self.open()]
            self._credits[mode].forget(min(counted, default=now))

    def _hold(self, record: Replenishment) -> None:
        self._records[record.id] = record
        self._by_mode[record.request.strategy_mode].setdefault(record.id)
        if record.open:
            self._open[record.request.strategy_mode].setdefault(record.id)
        else:
            self._open[record.request.strategy_mode].pop(record.id, None)

    def _credit(self, record: Replenishment) -> None:
        replacer = self._records.get(record.replaced_by or "")
        self._credits[record.request.strategy_mode].add(record, replacer)

    def _drop(self, records: Sequence[Replenishment]) -> None:
        for record in records:
            del self._records[record.id]
            self._positions.pop(record.id, None)
            del self._by_mode[record.request.strategy_mode][record.id]


def _told(record: Replenishment) -> tuple[object, ...]:
    return record.state, record.approved_by, record.replaced_by
