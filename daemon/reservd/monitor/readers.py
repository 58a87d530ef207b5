"""Sources, read under guard: what comes back is a believable reading or a closed reason."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

from reservd.errors import CallError, FailureReason, SourceError
from reservd.monitor.observer import Observer
from reservd.monitor.table import FailedTable, Table, tabulate
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import BalanceSource, EquitySource
from reservd.reserve.readings import Equity

log = structlog.get_logger(__name__)
T = TypeVar("T")


class _Reader:
    """Reads one source. Whoever asks while it is being read gets the answer that is on its way."""

    def __init__(self, guarded: GuardedPlugin, observers: list[Observer]) -> None:
        self.guarded = guarded
        self._observers = observers
        self._on_the_way: dict[str, asyncio.Task[Any]] = {}
        self._failing: dict[str, FailureReason] = {}

    async def close(self) -> None:
        """Close the source."""
        await self.guarded.close()

    def _shared(self, key: str, read: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        task = self._on_the_way.get(key)
        if task is None:
            task = asyncio.create_task(read())
            self._on_the_way[key] = task
            task.add_done_callback(lambda _: self._on_the_way.pop(key, None))
        return task

    async def _counted(self, key: str, fetch: Callable[[], Coroutine[Any, Any, T]]) -> T | CallError:
        started = time.monotonic()
        failure: CallError | None = None
        try:
            return await self.guarded.call(fetch, key)
        except CallError as error:
            failure = error
            return error
        finally:
            self._note(key, time.monotonic() - started, failure)

    def _note(self, key: str, seconds: float, failure: CallError | None) -> None:
        reason = failure.reason if failure is not None else None
        for observer in self._observers:
            observer.fetched(self.guarded.name, seconds, reason)
        if reason is not self._failing.get(key):
            # Logged at the change only: an outage would repeat the line every cycle.
            bound = log.bind(source=self.guarded.name, **({"of": key} if key else {}))
            if failure is not None:
                self._failing[key] = failure.reason
                bound.warning("source.failed", reason=str(failure.reason), detail=failure.detail)
            else:
                del self._failing[key]
                bound.info("source.recovered")
        for observer in self._observers:
            # Up only when all that it is asked for is answered: one mode's equity may fail alone.
            observer.source_is(self.guarded.name, up=not self._failing)


class BalanceReader(_Reader):
    """Reads one balance source."""

    def __init__(self, source: BalanceSource[Any], observers: list[Observer]) -> None:
        super().__init__(GuardedPlugin(source), observers)
        self._source = source

    def read(self) -> asyncio.Task[Table]:
        """Start reading, or join a reading that is on its way. The task never fails."""
        return self._shared("", self._read)

    async def _read(self) -> Table:
        answer = await self._counted("", self._fetch)
        return FailedTable(answer) if isinstance(answer, CallError) else answer

    async def _fetch(self) -> Table:
        return tabulate(await self._source.fetch_balances(), self.guarded.redact)


class EquityReader(_Reader):
    """Reads one equity source."""

    def __init__(self, source: EquitySource[Any], observers: list[Observer]) -> None:
        super().__init__(GuardedPlugin(source), observers)
        self._source = source

    def key(self, mode: str, share_class: str) -> str:
        """Return what is asked: two modes with the same key share one call."""
        return share_class if self._source.by_share_class else mode

    def read(self, key: str, share_class: str) -> asyncio.Task[Equity | CallError]:
        """Start reading, or join a reading that is on its way. The task never fails."""

        async def fetch() -> Equity:
            answer = await self._source.fetch_equity(key, share_class)
            if not isinstance(answer, Equity):
                got = type(answer).__name__
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_equity() gave {got}, not Equity")
            return answer

        return self._shared(key, lambda: self._counted(key, fetch))
