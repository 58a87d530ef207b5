"""The requests for refills that still matter, by id and by mode."""

import math
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

import structlog

from reservd.errors import UnknownReplenishmentError
from reservd.monitor.clock import Clock, SystemClock
from reservd.reserve.amounts import ZERO, add
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.replenishment.credits import EndedCredits, counted_since
from reservd.reserve.replenishment.decision import still_to_come
from reservd.reserve.replenishment.event import ReplenishmentChange, tell_change
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.replenishment.caller import ReplenishmentObserver
from reservd.service.replenishment.ledger import RefillLedger, Remembered
from reservd.service.replenishment.times import RefillTimes
from reservd.store.replenishments import UnreadableRequest

log = structlog.get_logger(__name__)

_MOST_OF_WITHDRAWALS = 1_000
"""Ended requests for withdrawals of a mode that stay in memory; the store has all of them."""


class RefillBook:
    """Records in memory. Each change of a record goes to the ledger.

    Args:
        ledger: Keeps the records.
        observers: Notified of every change.
        clock: The clock; the machine's own unless given.

    Attributes:
        times: Measures how long each request has waited, or has been over.
        unreadable: The modes with a request that cannot be read.
    """

    def __init__(
        self, ledger: RefillLedger, observers: Iterable[ReplenishmentObserver] = (), clock: Clock | None = None
    ) -> None:
        self._ledger = ledger
        self._observers = tuple(observers)
        self._positions: dict[str, int] = {}
        self._records: dict[str, Replenishment] = {}
        self._by_mode: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._open: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._credits: defaultdict[str, EndedCredits] = defaultdict(EndedCredits)
        self._sequences: dict[str, int] = {}
        self.times = RefillTimes(clock or SystemClock())
        self.unreadable: frozenset[str] = frozenset()

    def load(self, remembered: Remembered) -> None:
        """Start with the remembered requests."""
        self._sequences = dict(remembered.sequences)
        unreadable = [each for each in remembered.records if isinstance(each, UnreadableRequest)]
        for each in unreadable:
            log.error("replenishment.unreadable", mode=each.strategy_mode, replenishment_id=each.id)
        self.unreadable = frozenset(each.strategy_mode for each in unreadable)
        records = [each for each in remembered.records if isinstance(each, Replenishment)]
        self._records = {record.id: record for record in records}
        for record in records:
            self.times.begin(record, loaded=True)
            self._hold(record)
            if not record.open:
                self._credit(record)
            else:
                for observer in self._observers:
                    observer.replenishment_loaded(record)

    def find(self, replenishment_id: str) -> Replenishment | None:
        """Return the request with an id; None when it is not in memory."""
        return self._records.get(replenishment_id)

    def get(self, replenishment_id: str) -> Replenishment:
        """Return the request with an id.

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
        """Return the requests that may still bring money, in order of request; only those of a mode when given."""
        if mode is not None:
            return [self._records[each] for each in self._open.get(mode, ())]
        found = [self._records[each] for of_mode in self._open.values() for each in of_mode]
        return sorted(found, key=lambda record: record.request.requested_at)

    def in_turn(self, records: Iterable[Replenishment]) -> list[Replenishment]:
        """Return requests in the order in which their arrivals began to count, regardless of clock changes."""
        return sorted(records, key=self._counted_since)

    def ended_since(self, modes: Iterable[str], counted: Replenishment) -> Decimal:
        """Return the credits of these modes' requests that ended after arrivals for `counted` began to count."""
        total, since = ZERO, self._counted_since(counted)
        for mode in modes:
            if mode in self._credits:
                total = add(total, self._credits[mode].since(since))
        return total

    def newest(self) -> Iterator[Replenishment]:
        """Yield all requests in memory, newest first."""
        return iter(sorted(self._records.values(), key=lambda record: record.place, reverse=True))

    def outstanding(self, mode: str) -> Decimal:
        """Return the amount that is still expected for a mode."""
        return still_to_come(self.open(mode))

    def put(self, record: Replenishment) -> None:
        """Add a new request or a change of one.

        Changes of its state, of what it waits for, of its replacement, or of its amount are published.
        """
        before = self._records.get(record.id)
        if before == record:
            return
        # A request that ended long ago is looked up again when something is reported about it.
        self.times.begin(record, loaded=not record.open)
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
        """Wait until the last change of a request is certain to be kept.

        Raises:
            StoreError: If it is not kept in time; it may be later.
        """
        await self._ledger.written(self._positions.get(replenishment_id, 0))

    def forget(self, mode: str, policy: RefillPolicy) -> None:
        """Remove from memory what ended too long ago to matter to a decision about a mode."""
        ended = [record for record in self.of_mode(mode) if not record.open]
        old = [record for record in ended if not self.times.remembers(record, policy)]
        # Cooldowns and budgets depend on the mode's own requests, none of which may be lost among withdrawals.
        of_withdrawals = [record for record in ended if record.request.withdrawal_id is not None]
        self._drop(old or of_withdrawals[:-_MOST_OF_WITHDRAWALS])

    def has_credits(self, mode: str) -> bool:
        """Return whether credits to ended requests of a mode are remembered."""
        return bool(self._credits.get(mode))

    def forget_credits(self, mode: str, counted: Iterable[Replenishment]) -> None:
        """Remove credits from before arrivals began to count for any of these open requests."""
        self._credits[mode].forget(min(map(self._counted_since, counted), default=math.inf))

    def _hold(self, record: Replenishment) -> None:
        self._records[record.id] = record
        self._by_mode[record.request.strategy_mode].setdefault(record.id)
        if record.open:
            self._open[record.request.strategy_mode].setdefault(record.id)
        else:
            self._open[record.request.strategy_mode].pop(record.id, None)

    def _credit(self, record: Replenishment) -> None:
        replacer = self._records.get(record.replaced_by or "")
        ended_at = self.times.monotonic(record, record.changed_at)
        self._credits[record.request.strategy_mode].add(record, ended_at, replacer)

    def _counted_since(self, record: Replenishment) -> float:
        return self.times.monotonic(record, counted_since(record))

    def _drop(self, records: Sequence[Replenishment]) -> None:
        for record in records:
            del self._records[record.id]
            self._positions.pop(record.id, None)
            self.times.forget(record.id)
            del self._by_mode[record.request.strategy_mode][record.id]


def _told(record: Replenishment) -> tuple[object, ...]:
    return record.state, record.held_back, record.approved_by, record.replaced_by, record.request.amount
