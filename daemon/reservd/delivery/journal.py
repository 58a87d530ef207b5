"""From decisions to the store and on to the sinks: the one writer of an owner."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from reservd.delivery.batch import Batch, Decided
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.scope import SinkScope
from reservd.errors import OwnershipLostError, StoreError
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.explanation import Explanation
from reservd.reserve.kept import KeptState, keep
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment_event import AnyEvent, ReplenishmentChange
from reservd.reserve.replenishment_states import Replenishment
from reservd.reserve.state import Instant
from reservd.store.database import Database
from reservd.store.history import KeptSnapshot
from reservd.store.operators import Silence
from reservd.store.outbox import Letter, OutboxEvent, Outcome
from reservd.store.ownership import RENEW_EVERY_SECONDS, Ownership
from reservd.store.states import load_states
from reservd.wire.events import DeliveryState

log = structlog.get_logger(__name__)

_FAIL_OPEN_AFTER_SECONDS = 2.0
"""Events of a write that takes longer are sent before they are stored."""
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_LINGER_SECONDS = 0.05
"""What became of deliveries waits for more of its kind: only what was decided is urgent."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Send = Callable[[str, Letter], None]
"""Hands a letter to a sink."""
Drop = Callable[[Iterable[OutboxEvent]], None]
"""Has the sinks forget events that memory cannot hold."""


class Journal(Observer):
    """Writes each event, what led to it and the state it left in one transaction, then hands it to its sinks.

    What is decided while a write is under way goes into the next one, so that one flush of the disk
    serves many events. A store that fails or is slow holds no alarm up: its events are sent from
    memory, under the ids under which they are written once it is back.

    Args:
        database: The store.
        ownership: Held by this daemon.
        routes: The sinks that hear of each mode, by mode.
        scopes: What each sink wants to hear of.
        send: Hands a letter to a sink.
        drop: Has the sinks forget events.
        clock: Tells the time.
        observers: Hear of the store.

    Attributes:
        changes: The sequence of the newest event that is no reminder, of the modes that had one.
        written_position: Up to which position all events are in the store.
        up: Whether the store took the last write.
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
        self._database = database
        self._ownership = ownership
        self._position = 0
        self._routes = routes
        self._scopes = scopes
        self._send = send
        self._drop = drop
        self._clock = clock
        self._observers = observers
        self._incidents: dict[str, ReserveStatus | None] = {}
        self._next = Batch()
        self._stored: Mapping[str, KeptState] = {}
        self._unsent: deque[OutboxEvent] = deque()
        self._news = asyncio.Event()
        self._progress = asyncio.Event()
        self._lingering = False
        self._overlooked = False
        self._silences: tuple[Silence, ...] = ()
        self._silenced: frozenset[str] = frozenset()
        self.changes: dict[str, int] = {}
        self.written_position = 0
        self.up = True

    def resume(self, position: int, states: Mapping[str, KeptState]) -> None:
        """Go on after the newest event in the store, with what is kept of the modes."""
        self._position = self.written_position = position
        self._incidents = {mode: _incident_severity(state) for mode, state in states.items()}

    # What is decided

    def checked(self, checked: Checked) -> None:
        """Take an event that a check led to, with the state it left."""
        event = checked.step.event
        if event is None:
            return
        state = checked.step.state
        now = Instant(event.timestamp, state.announced_at)
        kept = keep(state, now)
        self._next.snapshots.append(KeptSnapshot(checked.status, checked.snapshot))
        before = self._incidents.get(checked.mode)
        self._incidents[checked.mode] = _incident_severity(kept)
        if event.is_change:
            self.changes[checked.mode] = event.sequence
        silenced = self.is_silenced(checked.mode, event.timestamp)
        first = DeliveryState.SILENCED if silenced else DeliveryState.PENDING
        sinks = {sink: first for sink in self._routes.get(checked.mode, ()) if self._scopes[sink].wants(event, before)}
        self._announce(event, sinks, kept, checked.explanation)

    def _announce(
        self,
        event: AnyEvent,
        sinks: Mapping[str, DeliveryState],
        kept: KeptState | None = None,
        explanation: Explanation | None = None,
        change: ReplenishmentChange | None = None,
    ) -> None:
        self._position += 1
        for sink, state in sinks.items():
            if state is DeliveryState.SILENCED:
                self._ended(sink, state)
        decided = OutboxEvent(self._position, event, sinks, explanation)
        self._next.add(Decided(decided, kept, change))
        if self.up:
            self._unsent.append(decided)
        else:
            self._hand_on(decided)
        self._bound()
        self._news.set()

    def settle(self, outcome: Outcome) -> None:
        """Take what an attempt at a delivery came to."""
        self._next.settle(outcome)
        self._bound()
        if outcome.state is not DeliveryState.PENDING:
            self._ended(outcome.sink, outcome.state)
        self._write_soon()

    def keep_states(self, states: Mapping[str, KeptState], snapshots: Sequence[KeptSnapshot]) -> None:
        """Take what is kept of modes without an event, and snapshots for the history."""
        self._next.states |= states
        self._next.snapshots += snapshots
        self._bound()
        self._write_soon()

    # Requests for refills

    def replenishment_changed(self, change: ReplenishmentChange) -> int:
        """Take a change of a request for a refill; return its position, for `until_written`."""
        event = change.event
        silenced = self.is_silenced(event.strategy_mode, event.timestamp)
        first = DeliveryState.SILENCED if silenced else DeliveryState.PENDING
        routes = self._routes.get(event.strategy_mode, ())
        sinks = {sink: first for sink in routes if self._scopes[sink].wants_change(event)}
        self._announce(event, sinks, change=change)
        return self._position

    def keep_replenishment(self, record: Replenishment) -> None:
        """Take a record of which only what nobody is told of has changed."""
        self._next.records[record.id] = record
        self._write_soon()

    async def until_written(self, position: int) -> None:
        """Wait until everything up to a position is in the store."""
        while self.written_position < position:
            await self._progress.wait()

    # Silences

    def silence(self, silences: Sequence[Silence]) -> frozenset[str]:
        """Take the silences that operators made; return the modes of which one has ended since."""
        self._silences = tuple(silences)
        now = self._clock.now().wall
        before, modes = self._silenced, frozenset(each.mode for each in silences if each.covers(each.mode, now))
        self._silenced = modes
        for observer in self._observers:
            observer.silenced(modes)
        return before - modes

    def is_silenced(self, mode: str, at: datetime) -> bool:
        """Whether a silence is on for a mode then."""
        return any(silence.covers(mode, at) for silence in self._silences)

    # Writing

    @property
    def epoch(self) -> int | None:
        """Which owner of the store this is; None while it is none."""
        return self._ownership.epoch or None

    async def may_send(self) -> bool:
        """Wait until it is certain whether events may go out; false once another daemon owns the store.

        They may while the store was asked in vain: a second alarm is better than none.
        """
        while not self._ownership.undisputed:
            if not self._ownership.epoch:
                return False
            # This process was stopped for a while. The write that is due now tells who owns the store.
            self._news.set()
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    @property
    def may_act(self) -> bool:
        """Whether refills may be asked for: nobody else owns the store, and it takes what is written."""
        return self.up and self._ownership.fresh

    async def run(self) -> None:
        """Write until cancelled.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        if not self._ownership.epoch:
            await self._run_blind()
            return
        while True:
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it forgets that it was cancelled when there is news just then.
                async with asyncio.timeout(RENEW_EVERY_SECONDS):
                    await self._news.wait()
            self._news.clear()
            await self._write(self._take())

    async def flush(self) -> None:
        """Write what waits and hand it on, for the end; what cannot be written is logged."""
        try:
            while self._next:
                batch = self._take()
                try:
                    await self._commit(batch)
                except StoreError as error:
                    self._put_back(batch)
                    self._fail_open(str(error))
                    break
                self._written(batch)
        except OwnershipLostError as error:
            log.warning("journal.refused", reason=str(error))
        if self._next.events:
            log.error("journal.unwritten", events=len(self._next.events))

    async def _run_blind(self) -> None:
        """Hold all in memory until the store is there, write it, and return: what it keeps is yet to be read.

        Positions are counted from the clock meanwhile, which is above all that a store counts to.
        """
        self._position = self.written_position = (self._clock.now().wall - _EPOCH) // timedelta(microseconds=1)
        self._fail_open("it could not be had since the start")
        await self._ownership.reacquire()
        self._stored = await self._load()
        await self._write(self._take())
        while self._next.events:
            await self._write(self._take())

    async def _load(self) -> Mapping[str, KeptState]:
        """Return what the store keeps, asked again until it tells."""
        while True:
            try:
                async with self._database.read() as connection:
                    return await load_states(connection)
            except StoreError as error:
                await self._failed(str(error))
                await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self, batch: Batch) -> None:
        """Write a batch; if the store does not take it, send its events from memory and put it back."""
        writing = asyncio.ensure_future(self._commit(batch))
        try:
            while not (await asyncio.wait({writing}, timeout=_FAIL_OPEN_AFTER_SECONDS))[0]:
                await self._failed(f"a write takes longer than {_FAIL_OPEN_AFTER_SECONDS:g} s")
            writing.result()
        except StoreError as error:
            self._put_back(batch)
            if await self._failed(str(error)):
                await asyncio.sleep(_RETRY_SECONDS)
        except BaseException:
            # The end, or another owner. To write again what may be written changes nothing.
            writing.cancel()
            await asyncio.wait({writing})
            self._put_back(batch)
            raise
        else:
            self._written(batch)

    async def _failed(self, why: str) -> bool:
        """Send from memory what the store does not take, unless another daemon owns it.

        A process that was stopped for long overlooks the first failure: its connections may have died meanwhile,
        and what is written once more, over new ones, tells whether it is still the owner.

        Returns:
            Whether this was no such failure.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        if not self._ownership.undisputed and not self._overlooked:
            self._overlooked = True
            return False
        await self._ownership.ask()
        self._fail_open(why)
        return True

    def _write_soon(self) -> None:
        if not self._lingering:
            self._lingering = True
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._write_now)

    def _write_now(self) -> None:
        self._lingering = False
        self._news.set()

    def _written(self, batch: Batch) -> None:
        if batch.events:
            self.written_position = batch.events[-1].outbox.position
            self._progress.set()
            self._progress = asyncio.Event()
        self._overlooked = False
        self._note(up=True)
        self._send_unsent(self.written_position)

    async def _commit(self, batch: Batch) -> None:
        began = self._clock.now().monotonic
        async with self._database.write() as connection:
            await self._ownership.fence(connection)
            await batch.write(connection)
        self._ownership.renewed(began)

    def _take(self) -> Batch:
        batch, self._next = self._next.cut()
        if self._next:
            self._news.set()
        return batch.joined_to(self._stored)

    def _put_back(self, batch: Batch) -> None:
        self._news.set()
        self._next = batch.followed_by(self._next)
        self._bound()

    def _bound(self) -> None:
        dropped = self._next.bound()
        if not dropped:
            return
        log.error("journal.dropped", events=len(dropped.events), outcomes=dropped.outcomes, snapshots=dropped.snapshots)
        self._drop(each.outbox for each in dropped.events)
        for observer in self._observers:
            observer.dropped(dropped.numbers)

    def _fail_open(self, why: str) -> None:
        self._note(up=False, why=why)
        self._send_unsent(self._position)

    def _send_unsent(self, until: int) -> None:
        while self._unsent and self._unsent[0].position <= until:
            self._hand_on(self._unsent.popleft())

    def _hand_on(self, decided: OutboxEvent) -> None:
        for observer in self._observers:
            observer.announced(decided.position, decided.event)
        for sink, state in decided.sinks.items():
            if state is DeliveryState.PENDING:
                self._send(sink, Letter(decided.position, decided.event))

    def _note(self, *, up: bool, why: str = "") -> None:
        if up != self.up:
            if up:
                log.info("store.recovered")
            else:
                log.error("store.failed", error=why)
        self.up = up
        for observer in self._observers:
            observer.store_is(up=up, unwritten=len(self._next.events))

    def _ended(self, sink: str, state: DeliveryState) -> None:
        for observer in self._observers:
            observer.ended(sink, state)


def _incident_severity(state: KeptState) -> ReserveStatus | None:
    return state.known if state.incident_id is not None else None
