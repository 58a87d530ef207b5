"""Reads any source: guarded, once for all who ask, and less often while it fails."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, Self, TypeVar

import structlog

from reservd.errors import CallError
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.observer import Observer
from reservd.monitor.sources.breaker import Circuit, after_failure, is_due, pass_over
from reservd.monitor.sources.slots import Slots
from reservd.monitor.sources.table import FailedTable
from reservd.plugin.composition import Composite
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import CALLS_AT_ONCE, Source

log = structlog.get_logger(__name__)
S = TypeVar("S", bound=Source[Any])
T = TypeVar("T")


class _Cycle:
    """The readings that one cycle has made or is making; None once it has ended."""

    def __init__(self) -> None:
        self.reads: dict[tuple[Reader[Any], str], asyncio.Task[Any]] | None = {}


_cycle: ContextVar[_Cycle | None] = ContextVar("reservd_cycle", default=None)


@asynccontextmanager
async def one_cycle() -> AsyncIterator[None]:
    """Read everything within this context only once, also on behalf of sources that build on others.

    Tasks that start within it belong to it until it ends; from then on they read again.
    """
    cycle = _Cycle()
    before = _cycle.set(cycle)
    try:
        yield
    finally:
        cycle.reads = None
        _cycle.reset(before)


class Reader(Generic[S]):
    """Reads one source. All who ask in the same cycle, or while a reading is under way, get the same answer.

    Calls for different things run at the same time, up to the limit of the source; further ones wait in order of
    arrival.

    Args:
        source: The source.
        observers: Notified of every reading.
        stalenesses: The ages of a reading, in seconds, at which modes become unknown; may grow.
        clock: Tells whether an observation is ahead of the time; the machine's clock unless given.

    Attributes:
        source: The source.
    """

    def __init__(
        self,
        source: S,
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        self.source = source
        self.guarded = GuardedPlugin(source)
        self._clock = clock or SystemClock()
        self._composite = isinstance(source, Composite)
        self._observers = observers
        self._stalenesses = stalenesses
        self._on_the_way: dict[str, asyncio.Task[Any]] = {}
        self._answered: dict[str, asyncio.Task[Any]] = {}
        self._failing: dict[str, Circuit] = {}
        self._failed_before: dict[str, Circuit] = {}
        self._well_at: dict[str, float] = {}
        self._endpoints: dict[str, bool] = {}
        self._closings = 0
        at_once = self.guarded.look(lambda: int(source.calls_at_once), CALLS_AT_ONCE, "calls_at_once")
        self._slots = Slots(max(1, at_once))

    def go_on(self, before: Self) -> None:
        """Take over what an earlier reader remembers, if it read the same source with the same options.

        The newest answers, and a pause that the source asked for, remain valid. Other options may have cured a failure.
        """
        source, other = self.source, before.source
        same = self.guarded.look(lambda: bool(source.config == other.config), False, "config")
        if same and type(source) is type(other):
            self._remember(before)

    def _remember(self, before: Self) -> None:
        self._failed_before = before._failed_before | before._failing
        self._well_at = dict(before._well_at)

    async def close(self) -> None:
        """Close the source and ignore pending answers, since a new source may have taken its name by then."""
        self._closings += 1
        self._answered.clear()
        await self.guarded.close()

    def _shared(
        self,
        key: str,
        read: Callable[[], Coroutine[Any, Any, T]],
        fresh: asyncio.Task[T] | None = None,
        late: asyncio.Task[T] | None = None,
    ) -> asyncio.Task[T]:
        cycle = _cycle.get()
        reads = cycle.reads if cycle is not None else None
        task = fresh
        if task is None and reads is not None:
            task = reads.get((self, key))
        if task is None and late is not None and late is self._answered.get(key):
            task = late
        if task is None:
            task = self._on_the_way.get(key)
        if task is None:
            task = asyncio.create_task(read())
            self._on_the_way[key] = task
            closings = self._closings
            task.add_done_callback(lambda done: self._arrived(key, done, closings))
        if reads is not None:
            reads[self, key] = task
        return task

    def _arrived(self, key: str, task: asyncio.Task[Any], closings: int) -> None:
        self._on_the_way.pop(key, None)
        if closings != self._closings or task.cancelled() or task.exception() is not None:
            return
        if not isinstance(task.result(), CallError | FailedTable):
            self._answered[key] = task

    async def _counted(self, key: str, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T | CallError:
        circuit = self._failing.get(key) or self._recall(key)
        now = time.monotonic()
        if circuit is not None and not is_due(circuit, now, self._stalenesses):
            self._failing[key] = pass_over(circuit, now)
            return circuit.failure
        return await self._slots.run(lambda: self._asked(key, fetch))

    def _recall(self, key: str) -> Circuit | None:
        """Take over the state that an earlier reader kept of what is read here for the first time; return it."""
        circuit = self._failed_before.pop(key, None)
        if circuit is not None:
            self._failing[key] = circuit
            self._tell_circuit()
        return circuit

    async def _asked(self, key: str, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T | CallError:
        started, closings = time.monotonic(), self._closings
        answer = await self._answer(fetch, key)
        if closings == self._closings:
            self._note(key, started, self._why_none(answer))
        return answer

    async def _answer(self, fetch: Callable[[], Coroutine[Any, Any, T]], key: str) -> T | CallError:
        try:
            return await self.guarded.call(fetch, key)
        except CallError as error:
            return error

    def _why_none(self, answer: object) -> CallError | None:
        """Return the failure that an answer stands for; None when it is a proper answer."""
        return answer if isinstance(answer, CallError) else None

    def _note(self, key: str, started: float, failure: CallError | None) -> None:
        ended = time.monotonic()
        before = self._failing.pop(key, None)
        after = None
        if failure is None:
            self._well_at[key] = ended
        else:
            well_at = self._well_at.setdefault(key, started)
            # A composite makes no calls itself: the sources it builds on are spared already, and it recovers with them.
            counted = None if self._composite else before
            after = self._failing[key] = after_failure(counted, failure, well_at, started)
        if before is not None or after is not None:
            self._log_change(key, before, after)
        reason = failure.reason if failure is not None else None
        for observer in self._observers:
            observer.fetched(self.guarded.name, ended - started, reason)
            # Up only if everything it is asked for is answered: the equity of a single mode may fail.
            observer.source_is(self.guarded.name, up=not self._failing)
        self._note_endpoints()
        if (before is not None and before.open) is not (after is not None and after.open):
            self._tell_circuit()

    def _tell_circuit(self) -> None:
        is_open = any(circuit.open for circuit in self._failing.values())
        for observer in self._observers:
            observer.circuit_is(self.guarded.name, is_open=is_open)

    def _note_endpoints(self) -> None:
        """Report endpoints whose health has changed. The source does without a failed one, and logs why."""
        for endpoint, up in self.guarded.endpoints().items():
            if self._endpoints.get(endpoint) is not up:
                self._endpoints[endpoint] = up
                for observer in self._observers:
                    observer.endpoint_is(self.guarded.name, endpoint, up=up)

    def _log_change(self, key: str, before: Circuit | None, after: Circuit | None) -> None:
        """Log changes only: during an outage the same lines would repeat every cycle."""
        bound = log.bind(source=self.guarded.name, **({"of": key} if key else {}))
        if after is None:
            bound.info("source.recovered")
            return
        if before is None or before.failure.reason is not after.failure.reason:
            bound.warning("source.failed", reason=str(after.failure.reason), detail=after.failure.detail)
        if after.open and not (before is not None and before.open):
            bound.warning("source.circuit_opened", failures=after.failures)
