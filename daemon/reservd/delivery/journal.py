"""Passes decisions to the store and then on to the sinks."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from reservd.delivery.batch import Decided
from reservd.delivery.intake import Drop, Intake
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.recipients import Recipients
from reservd.delivery.scope import SinkScope
from reservd.delivery.silences import Silences
from reservd.delivery.writer import Writer
from reservd.log import DefectLog
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.explanation import Explanation
from reservd.reserve.kept import KeptState, keep
from reservd.reserve.replenishment.event import AnyEvent, ReplenishmentChange
from reservd.reserve.replenishment.states import Replenishment
from reservd.reserve.state import Instant
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot
from reservd.store.letters import Letter
from reservd.store.outbox import OutboxEvent, Outcome
from reservd.store.ownership import Ownership
from reservd.wire.events import DeliveryState

_LOOK_SECONDS = 0.05

Send = Callable[[str, Letter], None]
"""Hands a letter to a sink."""


class Journal(Observer):
    """Has each event written with what led to it and the state it left, and only then hands it to its sinks.

    A store that fails or is slow holds no alarm up: its events are sent from memory, under the ids
    under which they are written once it is back.

    Args:
        database: The store.
        ownership: Held by this daemon.
        routes: The sinks that hear of each mode, by mode.
        scopes: What each sink wants to hear of.
        send: Hands a letter to a sink.
        drop: Has the sinks forget events.
        clock: The clock.
        observers: Notified of events and of the store.

    Attributes:
        changes: The sequence of the newest event that is no reminder, of the modes that had one.
        silences: The modes that are hushed.
    """

    def __init__(
        self,
        database: Database,
        ownership: Ownership,
        routes: Mapping[str, Sequence[str]],
        scopes: Mapping[str, SinkScope],
        send: Send,
        drop: Drop,
        clock: Clock,
        observers: Sequence[DeliveryObserver] = (),
    ) -> None:
        self.changes: dict[str, int] = {}
        self.silences = Silences(clock, observers)
        self._recipients = Recipients(routes, scopes, self.silences)
        self._intake = Intake(drop, observers)
        self._writer = Writer(database, ownership, self._intake, self._release, clock, observers)
        self._ownership = ownership
        self._send = send
        self._observers = observers
        self._unsent: deque[OutboxEvent] = deque()
        self._defects = DefectLog("event.not_shown")

    def resume(self, position: int, states: Mapping[str, KeptState]) -> None:
        """Go on after the newest event in the store, with what is kept of the modes."""
        self._writer.resume(position)
        self._recipients.resume(states)

    async def run(self) -> None:
        """Write until cancelled; or until the store is there, when it could not be reached at first.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        await self._writer.run()

    async def flush(self) -> None:
        """Write what waits and hand it on, for the end; what cannot be written is logged."""
        await self._writer.flush()

    # What is decided

    def checked(self, checked: Checked) -> None:
        """Take an event that a check led to, with the state it left."""
        event = checked.step.event
        if event is None:
            return
        state = checked.step.state
        kept = keep(state, Instant(event.timestamp, state.announced_at))
        if event.is_change:
            self.changes[checked.mode] = event.sequence
        self._intake.keep_snapshot(KeptSnapshot(checked.status, checked.snapshot))
        self._announce(event, self._recipients.of_event(event, kept), kept, checked.explanation)

    def replenishment_changed(self, change: ReplenishmentChange) -> int:
        """Take a change of a request for a refill; return its position, for `until_written`."""
        self._announce(change.event, self._recipients.of_change(change.event), change=change)
        return self._intake.position

    def keep_replenishment(self, record: Replenishment) -> None:
        """Take a record of which only what nobody is told of has changed."""
        self._intake.keep_replenishment(record)

    def keep_states(self, states: Mapping[str, KeptState], snapshots: Sequence[KeptSnapshot]) -> None:
        """Take what is kept of modes without an event, and snapshots for the history."""
        self._intake.keep_states(states, snapshots)

    async def until_written(self, position: int) -> None:
        """Wait until everything up to a position is in the store."""
        await self._writer.until_written(position)

    def _announce(
        self,
        event: AnyEvent,
        sinks: Mapping[str, DeliveryState],
        kept: KeptState | None = None,
        explanation: Explanation | None = None,
        change: ReplenishmentChange | None = None,
    ) -> None:
        for sink, state in sinks.items():
            if state is DeliveryState.SILENCED:
                self._ended(sink, state)
        decided = OutboxEvent(self._intake.position + 1, event, sinks, explanation)
        if self.up:
            self._unsent.append(decided)
        else:
            self._hand_on(decided)
        self._intake.add(Decided(decided, kept, change))

    # On to the sinks

    @property
    def up(self) -> bool:
        """Whether the store took the last write."""
        return self._writer.up

    @property
    def epoch(self) -> int | None:
        """Which owner of the store this is; None while it is none."""
        return self._ownership.epoch or None

    @property
    def may_act(self) -> bool:
        """Whether refills may be asked for: nobody else owns the store, and it takes what is written."""
        return self.up and self._ownership.fresh

    async def may_send(self) -> bool:
        """Wait until it is certain whether events may go out; false once another daemon owns the store.

        They may while the store was asked in vain: a second alarm is better than none.
        """
        while not self._ownership.undisputed:
            if not self._ownership.epoch:
                return False
            # This process was stopped for a while. The write that is due now tells who owns the store.
            self._intake.wake()
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def is_written(self, position: int) -> bool:
        """Whether an event is in the store."""
        return position <= self._writer.written_position

    def settle(self, outcome: Outcome) -> None:
        """Take what an attempt at a delivery came to."""
        self._intake.settle(outcome)
        if outcome.state is not DeliveryState.PENDING:
            self._ended(outcome.sink, outcome.state)

    def _release(self, until: float) -> None:
        while self._unsent and self._unsent[0].position <= until:
            self._hand_on(self._unsent.popleft())

    def _hand_on(self, decided: OutboxEvent) -> None:
        for sink, state in decided.sinks.items():
            if state is DeliveryState.PENDING:
                self._send(sink, Letter(decided.position, decided.event))
        for observer in self._observers:
            try:
                observer.announced(decided.position, decided.event)
            except Exception as error:  # noqa: BLE001  # logged: whoever only looks on keeps no alarm from a sink
                self._defects.tell(error, observer=type(observer).__name__)

    def _ended(self, sink: str, state: DeliveryState) -> None:
        for observer in self._observers:
            observer.ended(sink, state)
