"""Sources, read under guard: what comes back is a believable reading or a closed reason."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import structlog

from reservd.errors import CallError, FailureReason, SourceError
from reservd.monitor.breaker import Circuit, after_failure, is_due
from reservd.monitor.clock import Clock, SystemClock
from reservd.monitor.newest import NewestAnswers, NewestBalances
from reservd.monitor.observer import Observer
from reservd.monitor.slots import Slots
from reservd.monitor.table import FailedTable, ReadTable, Table, tabulate
from reservd.monitor.unread import UnreadAccounts, why_nothing
from reservd.plugin.composition import Composite
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import CALLS_AT_ONCE, BalanceSource, EquitySource, PriceSource, Source
from reservd.reserve.readings import Equity, Price

log = structlog.get_logger(__name__)
T = TypeVar("T")


class _Cycle:
    """What one cycle has read or is reading; None once it has ended."""

    def __init__(self) -> None:
        self.reads: dict[tuple[_Reader, str], asyncio.Task[Any]] | None = {}


_cycle: ContextVar[_Cycle | None] = ContextVar("reservd_cycle", default=None)


@asynccontextmanager
async def one_cycle() -> AsyncIterator[None]:
    """Have everything that is read within, by sources that build on others too, read once.

    Tasks that are started within belong to it until it ends; after that they read anew.
    """
    cycle = _Cycle()
    before = _cycle.set(cycle)
    try:
        yield
    finally:
        cycle.reads = None
        _cycle.reset(before)


class _Reader:
    """Reads one source. Whoever asks in the same cycle, or while it is being read, gets the same answer.

    It is asked for different things at the same time, but for no more than it can take: the others wait for their
    turn, in the order in which they came.

    Args:
        source: The source.
        observers: Hear of every reading.
        stalenesses: After how many seconds without a reading modes are called unknown; may grow.
        clock: Tells whether an observation is ahead of it; the machine's unless given.
    """

    def __init__(
        self,
        source: Source[Any],
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        self.guarded = GuardedPlugin(source)
        self._clock = clock or SystemClock()
        self._composite = isinstance(source, Composite)
        self._observers = observers
        self._stalenesses = stalenesses
        self._on_the_way: dict[str, asyncio.Task[Any]] = {}
        self._failing: dict[str, Circuit] = {}
        self._well_at: dict[str, float] = {}
        self._endpoints: dict[str, bool] = {}
        self._closings = 0
        at_once = self.guarded.look(lambda: int(source.calls_at_once), CALLS_AT_ONCE, "calls_at_once")
        self._slots = Slots(max(1, at_once))

    async def close(self) -> None:
        """Close the source. What was asked before says nothing of it any more: another may have its name by then."""
        self._closings += 1
        await self.guarded.close()

    def _shared(
        self, key: str, read: Callable[[], Coroutine[Any, Any, T]], fresh: asyncio.Task[T] | None = None
    ) -> asyncio.Task[T]:
        cycle = _cycle.get()
        reads = cycle.reads if cycle is not None else None
        task = fresh
        if task is None and reads is not None:
            task = reads.get((self, key))
        if task is None:
            task = self._on_the_way.get(key)
        if task is None:
            task = asyncio.create_task(read())
            self._on_the_way[key] = task
            task.add_done_callback(lambda _: self._on_the_way.pop(key, None))
        if reads is not None:
            reads[self, key] = task
        return task

    async def _counted(self, key: str, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T | CallError:
        circuit = self._failing.get(key)
        if circuit is not None and not is_due(circuit, time.monotonic(), self._stalenesses):
            self._failing[key] = circuit._replace(passed_over=circuit.passed_over + 1)
            return circuit.failure
        return await self._slots.run(lambda: self._asked(key, fetch))

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
        """Return why an answer is none; None when it is one."""
        return answer if isinstance(answer, CallError) else None

    def _note(self, key: str, started: float, failure: CallError | None) -> None:
        ended = time.monotonic()
        before = self._failing.pop(key, None)
        after = None
        if failure is None:
            self._well_at[key] = ended
        else:
            well_at = self._well_at.setdefault(key, started)
            # One that builds on others asks nobody itself: those are spared already, and it is well when they are.
            counted = None if self._composite else before
            after = self._failing[key] = after_failure(counted, failure, well_at, started)
        if before is not None or after is not None:
            self._log_change(key, before, after)
        reason = failure.reason if failure is not None else None
        for observer in self._observers:
            observer.fetched(self.guarded.name, ended - started, reason)
            # Up only when all that it is asked for is answered: one mode's equity may fail alone.
            observer.source_is(self.guarded.name, up=not self._failing)
        self._note_endpoints()
        if (before is not None and before.open) is not (after is not None and after.open):
            is_open = any(circuit.open for circuit in self._failing.values())
            for observer in self._observers:
                observer.circuit_is(self.guarded.name, is_open=is_open)

    def _note_endpoints(self) -> None:
        """Tell which endpoints came or went. The source goes on with the others, and logs why."""
        for endpoint, up in self.guarded.endpoints().items():
            if self._endpoints.get(endpoint) is not up:
                self._endpoints[endpoint] = up
                for observer in self._observers:
                    observer.endpoint_is(self.guarded.name, endpoint, up=up)

    def _log_change(self, key: str, before: Circuit | None, after: Circuit | None) -> None:
        """Log what has changed: an outage would repeat the lines every cycle."""
        bound = log.bind(source=self.guarded.name, **({"of": key} if key else {}))
        if after is None:
            bound.info("source.recovered")
            return
        if before is None or before.failure.reason is not after.failure.reason:
            bound.warning("source.failed", reason=str(after.failure.reason), detail=after.failure.detail)
        if after.open and not (before is not None and before.open):
            bound.warning("source.circuit_opened", failures=after.failures)


class BalanceReader(_Reader):
    """Reads one balance source.

    Attributes:
        source: The source.
        latest: The last reading; None before the first, and when the last failed or told of no account.
    """

    def __init__(
        self,
        source: BalanceSource[Any],
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(source, observers, stalenesses, clock)
        self.source = source
        self.latest: ReadTable | None = None
        self._unread = UnreadAccounts(self.guarded, source, observers)
        self._newest = NewestBalances(self._clock)

    def read(self, fresh: asyncio.Task[Table] | None = None) -> asyncio.Task[Table]:
        """Start reading, or join a reading that is on its way. The task never fails.

        Args:
            fresh: A reading of the source that this cycle is to take for its own.
        """
        return self._shared("", self._read, fresh)

    @property
    def tells_changes(self) -> bool:
        """Whether the source may have a stream of changes."""
        return type(self.source).changes is not BalanceSource.changes

    @property
    def seconds_between_changes(self) -> float:
        """How long to wait after a reading that the stream asked for before another such; 0 if nothing is said."""
        return self.guarded.look(lambda: float(self.source.seconds_between_changes), 0.0, "seconds_between_changes")

    async def follow_changes(self, told: Callable[[], None]) -> bool:
        """Call `told` whenever the source says that a balance may have changed, until that ends.

        Returns:
            Whether it was told at all: a source may be configured without.

        Raises:
            CallError: If the stream broke.
        """
        return await self.guarded.follow(self.source.changes, told)

    async def _read(self) -> Table:
        answer = await self._counted("", self._fetch)
        if isinstance(answer, CallError):
            self.latest = None
            return FailedTable(answer)
        self.latest = None if answer.empty else answer
        return answer

    def _why_none(self, answer: object) -> CallError | None:
        """Return why not one account was read, and tell which were not."""
        if not isinstance(answer, ReadTable):
            self._unread.note_failure()
            return super()._why_none(answer)
        self._unread.note(answer)
        return why_nothing(answer.failures) if answer.empty else None

    async def _fetch(self) -> ReadTable:
        table = tabulate(await self.source.fetch_balances(), self.guarded.redact, self.latest)
        return table if self._composite else self._newest.take(table)


class EquityReader(_Reader):
    """Reads one equity source."""

    def __init__(
        self,
        source: EquitySource[Any],
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(source, observers, stalenesses, clock)
        self.source = source
        self._newest: NewestAnswers[Equity] = NewestAnswers(self._clock)

    def key(self, mode: str, share_class: str) -> str:
        """Return what is asked: two modes with the same key share one call."""
        by_share_class = self.guarded.look(lambda: bool(self.source.by_share_class), False, "by_share_class")
        return share_class if by_share_class else mode

    def read(self, key: str, share_class: str) -> asyncio.Task[Equity | CallError]:
        """Start reading, or join a reading that is on its way. The task never fails."""

        async def fetch() -> Equity:
            answer = await self.source.fetch_equity(key, share_class)
            if not isinstance(answer, Equity):
                got = type(answer).__name__
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_equity() gave {got}, not Equity")
            return answer if self._composite else self._newest.take(what, answer)

        # A source that is asked by mode may be asked in several currencies by those that build on it.
        what = key if key == share_class else f"{key} in {share_class}"
        return self._shared(what, lambda: self._counted(what, fetch))


class PriceReader(_Reader):
    """Reads one price source."""

    def __init__(
        self,
        source: PriceSource[Any],
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(source, observers, stalenesses, clock)
        self.source = source
        self._newest: NewestAnswers[Price] = NewestAnswers(self._clock)

    def read(self, base: str, quote: str) -> asyncio.Task[Price | CallError]:
        """Start reading, or join a reading that is on its way. The task never fails."""

        async def fetch() -> Price:
            answer = await self.source.fetch_price(base, quote)
            if not isinstance(answer, Price):
                got = type(answer).__name__
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_price() gave {got}, not Price")
            if (answer.base, answer.quote) != (base, quote):
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_price() gave a price of another pair than {pair}")
            return answer if self._composite else self._newest.take(pair, answer)

        pair = f"{base}/{quote}"
        return self._shared(pair, lambda: self._counted(pair, fetch))
