"""The pending writes: bounded in memory, and cut into short transactions that keep related rows together."""

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.reserve.kept import KeptState, reconcile
from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import ReplenishmentChange
from reservd.reserve.replenishment.states import Replenishment
from reservd.store.history import KeptSnapshot, add_snapshots
from reservd.store.outbox import OutboxEvent, Outcome, add_events, record_outcomes
from reservd.store.replenishments import save_changes, save_records
from reservd.store.states import save_states

MAX_EVENTS = 100_000
MAX_OUTCOMES = 200_000
MAX_SNAPSHOTS = 20_000
MAX_EVENTS_A_WRITE = 2_000
MAX_OUTCOMES_A_WRITE = 10_000
MAX_ROWS_A_WRITE = 250
"""For checkpoints, of which many come at once and none is urgent: each is encoded on the event loop."""
_SLACK = 100
"""One part in so many is removed at a time, because finding the least important records takes a while."""

K = TypeVar("K")
V = TypeVar("V")


class Decided(NamedTuple):
    """An event with its state and its change, which are stored in the same transaction."""

    outbox: OutboxEvent
    state: KeptState | None = None
    """The state of its mode; None if the event does not report the mode's status."""
    change: ReplenishmentChange | None = None
    """The change of a request for a refill, if the event reports one."""

    @property
    def weight(self) -> int:
        """Return how important the event is when memory is full: 0 for a reminder, 2 for a change of status, else 1."""
        event = self.outbox.event
        if event.reminder:
            return 0
        return 2 if isinstance(event, ReserveEvent) and event.is_change else 1


class Dropped(NamedTuple):
    """What was removed because memory was full."""

    events: Sequence[Decided] = ()
    outcomes: int = 0
    snapshots: int = 0

    def __bool__(self) -> bool:
        return bool(self.events or self.outcomes or self.snapshots)

    @property
    def numbers(self) -> Mapping[str, int]:
        """Return the number of removed records of each kind."""
        return {"events": len(self.events), "outcomes": self.outcomes, "snapshots": self.snapshots}


@dataclass
class Batch:
    """Records to write in one transaction."""

    events: list[Decided] = field(default_factory=list)
    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    """The newest outcome of each delivery, by sink and position."""
    states: dict[str, KeptState] = field(default_factory=dict)
    """The states of modes without an event, or newer than the event."""
    snapshots: list[KeptSnapshot] = field(default_factory=list)
    records: dict[str, Replenishment] = field(default_factory=dict)
    """Records of requests for refills that changed without an event, or after it."""

    def __bool__(self) -> bool:
        return any((self.events, self.outcomes, self.states, self.snapshots, self.records))

    def add(self, decided: Decided) -> None:
        """Add an event with its state and its change."""
        self.events.append(decided)
        if decided.state is not None:
            self.states.pop(decided.outbox.event.strategy_mode, None)
        if decided.change is not None:
            self.records.pop(decided.change.record.id, None)

    def settle(self, outcome: Outcome) -> None:
        """Add the outcome of a delivery attempt. It replaces the outcomes of earlier attempts."""
        self.outcomes[outcome.sink, outcome.position] = outcome

    def followed_by(self, newer: "Batch") -> "Batch":
        """Return a batch that holds this one and then a newer one."""
        changed, left = _records(newer.events), {each.outbox.event.strategy_mode for each in newer.events if each.state}
        records = {key: record for key, record in self.records.items() if key not in changed}
        states = {mode: state for mode, state in self.states.items() if mode not in left}
        return Batch(
            self.events + newer.events,
            self.outcomes | newer.outcomes,
            states | newer.states,
            self.snapshots + newer.snapshots,
            records | newer.records,
        )

    def joined_to(self, stored: Mapping[str, KeptState]) -> "Batch":
        """Return this batch reconciled with the stored states, which the daemon did not know when it decided."""
        if not stored:
            return self

        def joined(mode: str, state: KeptState) -> KeptState:
            return reconcile(stored[mode], state) if mode in stored else state

        events = [
            each._replace(state=joined(each.outbox.event.strategy_mode, each.state)) if each.state is not None else each
            for each in self.events
        ]
        states = {mode: joined(mode, state) for mode, state in self.states.items()}
        return Batch(events, self.outcomes, states, self.snapshots, self.records)

    def cut(self) -> tuple["Batch", "Batch"]:
        """Split the batch: return the next part to write, and the rest.

        The state, the change and the outcomes of an event are never stored before the event.
        """
        events, later = self.events[:MAX_EVENTS_A_WRITE], self.events[MAX_EVENTS_A_WRITE:]
        last = events[-1].outbox.position if later else math.inf
        too_early = {key for key, each in self.outcomes.items() if each.position > last}
        modes = {each.outbox.event.strategy_mode for each in later}
        outcomes, late_outcomes = _cut(self.outcomes, MAX_OUTCOMES_A_WRITE, too_early)
        states, late_states = _cut(self.states, MAX_ROWS_A_WRITE, modes)
        records, late_records = _cut(self.records, MAX_ROWS_A_WRITE, _records(later))
        most = MAX_ROWS_A_WRITE + len(events)  # each event has one
        snapshots, late_snapshots = self.snapshots[:most], self.snapshots[most:]
        return (
            Batch(events, outcomes, states, snapshots, records),
            Batch(later, late_outcomes, late_states, late_snapshots, late_records),
        )

    def bound(self) -> Dropped:
        """Remove what exceeds the limits of memory: the least important events, and the oldest of all other records.

        The states of removed events stay, so that a restart knows how things stand.
        """
        events = self._bound_events() if len(self.events) > MAX_EVENTS else ()
        outcomes = _excess(len(self.outcomes), MAX_OUTCOMES)
        for key in list(islice(self.outcomes, outcomes)):
            del self.outcomes[key]
        snapshots = _excess(len(self.snapshots), MAX_SNAPSHOTS)
        del self.snapshots[:snapshots]
        return Dropped(events, outcomes, snapshots)

    def _bound_events(self) -> list[Decided]:
        excess = _excess(len(self.events), MAX_EVENTS)
        order = sorted(range(len(self.events)), key=lambda index: self.events[index].weight)
        dropped = set(order[:excess])
        gone = [self.events[index] for index in sorted(dropped)]
        states, records = self.newest_states(), _records(self.events)
        self.events = [each for index, each in enumerate(self.events) if index not in dropped]
        told, told_records = self.newest_states(), _records(self.events)
        self.states |= {mode: state for mode, state in states.items() if told.get(mode) != state}
        self.records = {key: each for key, each in records.items() if told_records.get(key) != each} | self.records
        return gone

    def newest_states(self) -> dict[str, KeptState]:
        """Return the newest state of each mode, whether it came with an event or without one."""
        newest = dict(self.states)
        for outbox, state, _ in self.events:
            mode = outbox.event.strategy_mode
            if state is not None and (mode not in newest or newest[mode].sequence < state.sequence):
                newest[mode] = state
        return newest

    async def write(self, connection: AsyncConnection) -> None:
        """Write the batch in the transaction of the connection."""
        await add_events(connection, [decided.outbox for decided in self.events])
        await save_states(connection, self.newest_states())
        await record_outcomes(connection, list(self.outcomes.values()))
        await add_snapshots(connection, self.snapshots)
        await save_changes(connection, [each.change for each in self.events if each.change is not None])
        await save_records(connection, self.records.values())


def _records(events: Iterable[Decided]) -> dict[str, Replenishment]:
    """Return the newest record of each request for a refill that the events change, by id."""
    return {each.change.record.id: each.change.record for each in events if each.change is not None}


def _cut(values: Mapping[K, V], limit: int, late: Container[K]) -> tuple[dict[K, V], dict[K, V]]:
    """Split the values: return the first ones that may be written now, up to the limit, and the rest."""
    now: dict[K, V] = {}
    later: dict[K, V] = {}
    for key, value in values.items():
        (later if key in late or len(now) >= limit else now)[key] = value
    return now, later


def _excess(number: int, most: int) -> int:
    return 0 if number <= most else number - most + most // _SLACK
