"""Reads each source once, and yields groups of modes as soon as all that they wait for is read."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextvars import copy_context
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from reservd.errors import CallError, FailureReason
from reservd.monitor.cycles.pace import Pace
from reservd.monitor.sources.readers import Sources
from reservd.monitor.sources.table import FailedTable, Table
from reservd.monitor.watches.readings import EquityPlace
from reservd.reserve.readings import Equity

Need = str | EquityPlace
"""What a group waits for: a balance source, or a place where an equity is read."""


class Waiting(Protocol):
    """Modes that wait for the same readings."""

    @property
    def sources(self) -> frozenset[str]:
        """The balance sources."""

    @property
    def equities(self) -> Mapping[EquityPlace, str]:
        """Where the equities are read, with the share class."""


G = TypeVar("G", bound=Waiting)


class Turns(Generic[G]):
    """Starts the readings that groups of modes need, and yields each group once all of its own are done.

    A reading belongs to the cycle in which this object was made, whoever adds the group.

    Args:
        sources: The readers.
        fresh: Readings of balance sources that have just been made. These sources are not read again.
        late: Readings that the cycle before gave up on. One that was answered meanwhile is not read again.

    Attributes:
        given_up: The readings of groups that waited too long: those that took too long, and the late ones that a group
            has used in vain.
        pace: Keeps those who add groups and work on them from blocking the event loop.
    """

    def __init__(
        self,
        sources: Sources,
        fresh: Mapping[str, asyncio.Task[Table]] = MappingProxyType({}),
        late: Mapping[Need, asyncio.Task[Any]] = MappingProxyType({}),
    ) -> None:
        self.given_up: dict[Need, asyncio.Task[Any]] = {}
        self._sources = sources
        self._fresh = fresh
        self._late = late
        self._cycle = copy_context()
        self._reads: dict[Need, asyncio.Task[Any]] = {}
        self._waiting: dict[Need, list[G]] = {}
        self._lacking: dict[G, int] = {}
        self._complete: asyncio.Queue[G | None] = asyncio.Queue()
        self._patience: asyncio.TimerHandle | None = None
        self._closed = False
        self.pace = Pace()

    def add(self, group: G) -> None:
        """Add a group and start the readings that it needs."""
        lacking = 0
        for need in _needs(group):
            if need not in self._reads:
                self._cycle.run(self._begin, need, group)
            if need in self._waiting:
                self._waiting[need].append(group)
                lacking += 1
        if lacking:
            self._lacking[group] = lacking
        else:
            self._complete.put_nowait(group)

    def close(self, patience_seconds: float | None = None) -> None:
        """Accept no more groups, and yield those whose readings take too long without waiting for them.

        Args:
            patience_seconds: How long to wait from now on; until the sources' own deadlines when None.
        """
        self._closed = True
        self._complete.put_nowait(None)
        if patience_seconds is not None:
            self._patience = asyncio.get_running_loop().call_later(patience_seconds, self._give_up)

    async def __aiter__(self) -> AsyncIterator[G]:
        """Yield each group when it is ready, until all were yielded and no more are added."""
        while not self._closed or self._lacking or not self._complete.empty():
            group = await self._complete.get()
            if group is not None:
                yield group
                # Otherwise groups whose sources answer at the same time would together block the loop.
                await self.pace.keep()
        if self._patience is not None:
            self._patience.cancel()

    def table(self, source: str) -> Table:
        """Return the reading of a balance source that a group waited for."""
        reading = self._reads[source]
        return reading.result() if reading.done() else FailedTable(_not_yet())

    def equity(self, place: EquityPlace) -> Equity | CallError:
        """Return the reading of an equity that a group waited for."""
        reading = self._reads[place]
        return reading.result() if reading.done() else _not_yet()

    def _begin(self, need: Need, group: G) -> None:
        reading: asyncio.Task[Any]
        late = self._late.get(need)
        if isinstance(need, str):
            reading = self._sources.balances[need].read(self._fresh.get(need), late)
        else:
            reading = self._sources.equities[need[0]].read(need[1], group.equities[need], late)
        self._reads[need] = reading
        self._waiting[need] = []
        reading.add_done_callback(lambda _: self._arrived(need))

    def _arrived(self, need: Need) -> None:
        for group in self._waiting.pop(need):
            if group in self._lacking:
                self._lacking[group] -= 1
                if not self._lacking[group]:
                    del self._lacking[group]
                    self._complete.put_nowait(group)

    def _give_up(self) -> None:
        for group in self._lacking:
            for need in _needs(group):
                if need in self._waiting or self._reads[need] is self._late.get(need):
                    self.given_up[need] = self._reads[need]
        for group in self._lacking:
            self._complete.put_nowait(group)
        self._lacking.clear()


def _needs(group: Waiting) -> list[Need]:
    return [*group.sources, *group.equities]


def _not_yet() -> CallError:
    """Return the failure of a pending reading. A new object each time, since a check skips one that it has seen."""
    return CallError(FailureReason.TIMEOUT, "no answer yet")
