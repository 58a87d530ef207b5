"""Whose turn it is: modes are checked as soon as what they wait for is read, and it is read once."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextvars import copy_context
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from reservd.errors import CallError, FailureReason
from reservd.monitor.pace import Pace
from reservd.monitor.reader import Reader
from reservd.monitor.readers import BalanceReader, EquityReader, PriceReader
from reservd.monitor.readings import EquityPlace
from reservd.monitor.table import FailedTable, Table
from reservd.reserve.readings import Equity

R = TypeVar("R", bound=Reader[Any])
Need = str | EquityPlace
"""A balance source, or where an equity is read."""


class Sources(NamedTuple):
    """What reads, by name."""

    balances: Mapping[str, BalanceReader]
    equities: Mapping[str, EquityReader]
    prices: Mapping[str, PriceReader]

    def go_on(self, before: "Sources") -> None:
        """Remember what others did that read sources of the same names until now; of each, where it is the same."""
        _go_on(self.balances, before.balances)
        _go_on(self.equities, before.equities)
        _go_on(self.prices, before.prices)


def _go_on(readers: Mapping[str, R], before: Mapping[str, R]) -> None:
    for name in readers.keys() & before.keys():
        readers[name].go_on(before[name])


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
    """Begins to read what groups of modes wait for, and yields each group once all that is its own is there.

    Whatever is read belongs to the cycle that it was made in, whoever adds a group.

    Args:
        sources: What reads.
        fresh: Balance sources that have just been read: not again.

    Attributes:
        pace: Keeps those who add groups and work on them from holding the event loop.
    """

    def __init__(self, sources: Sources, fresh: Mapping[str, asyncio.Task[Table]] = MappingProxyType({})) -> None:
        self._sources = sources
        self._fresh = fresh
        self._cycle = copy_context()
        self._reads: dict[Need, asyncio.Future[Any]] = {}
        self._waiting: dict[Need, list[G]] = {}
        self._lacking: dict[G, int] = {}
        self._complete: asyncio.Queue[G | None] = asyncio.Queue()
        self._patience: asyncio.TimerHandle | None = None
        self._closed = False
        self.pace = Pace()

    def add(self, group: G) -> None:
        """Let a group wait for its turn."""
        needs: list[Need] = [*group.sources, *group.equities]
        lacking = 0
        for need in needs:
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
        """Add no more groups, and give those their turn whose readings take longer from now on.

        Args:
            patience_seconds: How much longer; until the sources' own deadlines when None.
        """
        self._closed = True
        self._complete.put_nowait(None)
        if patience_seconds is not None:
            self._patience = asyncio.get_running_loop().call_later(patience_seconds, self._give_up)

    async def __aiter__(self) -> AsyncIterator[G]:
        """Yield each group in its turn, until all have had it and no more are added."""
        while not self._closed or self._lacking or not self._complete.empty():
            group = await self._complete.get()
            if group is not None:
                yield group
                # Or all whose sources answer at once would hold the loop together.
                await self.pace.keep()
        if self._patience is not None:
            self._patience.cancel()

    def table(self, source: str) -> Table:
        """Return what was read of a balance source that a group waited for."""
        reading = self._reads[source]
        return reading.result() if reading.done() else FailedTable(_late())

    def equity(self, place: EquityPlace) -> Equity | CallError:
        """Return what was read of an equity that a group waited for."""
        reading = self._reads[place]
        return reading.result() if reading.done() else _late()

    def _begin(self, need: Need, group: G) -> None:
        reading: asyncio.Task[Any]
        if isinstance(need, str):
            reading = self._sources.balances[need].read(self._fresh.get(need))
        else:
            reading = self._sources.equities[need[0]].read(need[1], group.equities[need])
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
            self._complete.put_nowait(group)
        self._lacking.clear()


def _late() -> CallError:
    """Return why there is nothing yet: another each time, as what a check was made of before is not checked again."""
    return CallError(FailureReason.TIMEOUT, "no answer yet")
