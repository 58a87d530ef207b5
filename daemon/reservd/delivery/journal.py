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
"""Passes a letter to a sink."""


class Journal(Observer):
    """Writes each event with its cause and the resulting state, and only then passes it on to its sinks.

    A store that fails or is slow does not delay alarms: their events are sent from memory, under the ids under which
    they are written once the store is back.

    Args:
        database: The store.
        ownership: Held by this daemon.
        routes: The sinks of each mode, by mode.
        scopes: Which events each sink is configured to receive.
        send: Passes a letter to a sink.
        drop: Has the sinks forget events.
        clock: The clock.
        observers: Notified of events and of the store.

    Attributes:
        changes: The sequence of each mode's newest event that is not a reminder; modes without one are missing.
        silences: The modes that are silenced.
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
        """Continue after the newest event in the store, with the stored states of the modes."""
        self._writer.resume(position)
        self._recipients.resume(states)

    async def run(self) -> None:
        """Write until cancelled; if the store could not be reached at the start, only until it is back.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        await self._writer.run()

    async def flush(self) -> None:
        """Write and send what is left at shutdown. Log what cannot be written."""
        await self._writer.flush()

    def checked(self, checked: Checked) -> None:
        """Add the event that a check led to, with the resulting state."""
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
        """Add a change of a request for a refill. Return its position, for `until_written`."""
        self._announce(change.event, self._recipients.of_change(change.event), change=change)
        return self._intake.position

    def keep_replenishment(self, record: Replenishment) -> None:
        """Add a record that changed only in details that no event reports."""
        self._intake.keep_replenishment(record)

    def keep_states(self, states: Mapping[str, KeptState], snapshots: Sequence[KeptSnapshot]) -> None:
        """Add states of modes that changed without an event, and snapshots for the history."""
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

    @property
    def up(self) -> bool:
        """Whether the store took the last write."""
        return self._writer.up

    @property
    def epoch(self) -> int | None:
        """The epoch of this owner of the store; None while it is not the owner."""
        return self._ownership.epoch or None

    @property
    def may_act(self) -> bool:
        """Whether refills may be requested: no other daemon owns the store, and the store accepts writes."""
        return self.up and self._ownership.fresh

    async def may_send(self) -> bool:
        """Wait until it is clear whether events may be sent. Return False once another daemon owns the store.

        They may be sent while the store does not answer: a second alarm is better than none.
        """
        while not self._ownership.undisputed:
            if not self._ownership.epoch:
                return False
            # This process was suspended for a while. The next write shows who owns the store.
            self._intake.wake()
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    def is_written(self, position: int) -> bool:
        """Return whether an event is in the store."""
        return position <= self._writer.written_position

    def settle(self, outcome: Outcome) -> None:
        """Add the outcome of a delivery attempt."""
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
            except Exception as error:  # noqa: BLE001  # logged: a failing observer must not keep an alarm from a sink
                self._defects.tell(error, observer=type(observer).__name__)

    def _ended(self, sink: str, state: DeliveryState) -> None:
        for observer in self._observers:
            observer.ended(sink, state)
