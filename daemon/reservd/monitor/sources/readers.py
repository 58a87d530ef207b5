"""Reads sources, guarded: the result is a believable reading or a failure with one of a closed set of reasons."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, NamedTuple, Self, TypeVar

from reservd.errors import CallError, FailureReason, SourceError
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Observer
from reservd.monitor.sources.newest import E, NewestAnswers, NewestBalances
from reservd.monitor.sources.reader import Reader, S
from reservd.monitor.sources.table import FailedTable, ReadTable, Table, tabulate
from reservd.monitor.sources.unread import UnreadAccounts, why_nothing
from reservd.plugin.interfaces import BalanceSource, EquitySource, PriceSource
from reservd.reserve.readings import Balance, Equity, Price

R = TypeVar("R", bound=Reader[Any])


class BalanceReader(Reader[BalanceSource[Any]]):
    """Reads one balance source.

    Attributes:
        latest: The last reading; None before the first, and if the last one failed or had no account.
    """

    def __init__(
        self,
        source: BalanceSource[Any],
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(source, observers, stalenesses, clock)
        self.latest: ReadTable | None = None
        self._unread = UnreadAccounts(self.guarded, source, observers)
        self._newest = NewestBalances(self._clock)

    def _remember(self, before: Self) -> None:
        super()._remember(before)
        self._newest = before._newest

    def recall(self, balance: Balance) -> None:
        """Remember a balance that was read before the process started: an older one that contradicts it has failed."""
        self._newest.recall(balance)

    def read(
        self, fresh: asyncio.Task[Table] | None = None, late: asyncio.Task[Table] | None = None
    ) -> asyncio.Task[Table]:
        """Start a reading, or join one that is under way. The task never fails.

        Args:
            fresh: A reading of the source that this cycle uses as its own.
            late: A reading that the cycle before gave up on: used if it was answered since then, and no other was.
        """
        return self._shared("", self._read, fresh, late)

    @property
    def tells_changes(self) -> bool:
        """Whether the source may have a stream of changes."""
        return type(self.source).changes is not BalanceSource.changes

    @property
    def seconds_between_changes(self) -> float:
        """The least time in seconds between two readings that the stream triggers; 0 if the source sets none."""
        return self.guarded.look(lambda: float(self.source.seconds_between_changes), 0.0, "seconds_between_changes")

    async def follow_changes(self, told: Callable[[], None]) -> bool:
        """Call `told` whenever the source announces that a balance may have changed, until the stream ends.

        Returns:
            Whether there was a stream: a source may be configured without one.

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
        """Return why no account could be read, None if any was; report those that were not."""
        if not isinstance(answer, ReadTable):
            self._unread.note_failure()
            return super()._why_none(answer)
        self._unread.note(answer)
        return why_nothing(answer.failures) if answer.empty else None

    async def _fetch(self) -> ReadTable:
        table = tabulate(await self.source.fetch_balances(), self.guarded.redact, self.latest)
        return table if self._composite else self._newest.take(table)


class _AnswerReader(Reader[S], Generic[S, E]):
    """Reads one source that returns one number for each question."""

    def __init__(
        self,
        source: S,
        observers: list[Observer],
        stalenesses: Collection[float] = (),
        clock: Clock | None = None,
    ) -> None:
        super().__init__(source, observers, stalenesses, clock)
        self._newest: NewestAnswers[E] = NewestAnswers(self._clock)

    def _remember(self, before: Self) -> None:
        super()._remember(before)
        self._newest = before._newest

    def _not_older(self, what: str, answer: E) -> E:
        """Return an answer, unless a later one contradicts it. A composite answer is as new as its parts."""
        return answer if self._composite else self._newest.take(what, answer)


class EquityReader(_AnswerReader[EquitySource[Any], Equity]):
    """Reads one equity source."""

    def key(self, mode: str, share_class: str) -> str:
        """Return the key of a question: two modes with the same key share one call."""
        by_share_class = self.guarded.look(lambda: bool(self.source.by_share_class), False, "by_share_class")
        return share_class if by_share_class else mode

    def read(
        self, key: str, share_class: str, late: asyncio.Task[Equity | CallError] | None = None
    ) -> asyncio.Task[Equity | CallError]:
        """Start a reading, or join one that is under way. The task never fails.

        Args:
            key: The mode, or the share class for a source that is asked by share class.
            share_class: The currency.
            late: A reading that the cycle before gave up on: used if it was answered since then, and no other was.
        """

        async def fetch() -> Equity:
            answer = await self.source.fetch_equity(key, share_class)
            if not isinstance(answer, Equity):
                got = type(answer).__name__
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_equity() returned {got}, not Equity")
            return self._not_older(what, answer)

        # Sources that build on a source by mode may ask it in several currencies.
        what = key if key == share_class else f"{key} in {share_class}"
        return self._shared(what, lambda: self._counted(what, fetch), late=late)


class PriceReader(_AnswerReader[PriceSource[Any], Price]):
    """Reads one price source."""

    def read(self, base: str, quote: str) -> asyncio.Task[Price | CallError]:
        """Start a reading, or join one that is under way. The task never fails."""

        async def fetch() -> Price:
            answer = await self.source.fetch_price(base, quote)
            if not isinstance(answer, Price):
                got = type(answer).__name__
                raise SourceError(FailureReason.INVALID_DATA, f"fetch_price() returned {got}, not Price")
            if (answer.base, answer.quote) != (base, quote):
                raise SourceError(
                    FailureReason.INVALID_DATA, f"fetch_price() returned a price of a pair other than {pair}"
                )
            return self._not_older(pair, answer)

        pair = f"{base}/{quote}"
        return self._shared(pair, lambda: self._counted(pair, fetch))


class Sources(NamedTuple):
    """The readers, by name."""

    balances: Mapping[str, BalanceReader]
    equities: Mapping[str, EquityReader]
    prices: Mapping[str, PriceReader]

    def deadline_of(self, need: str | tuple[str, str]) -> float:
        """Return how many seconds a balance source may take, or the source of an equity, given with its key."""
        reader: Reader[Any] = self.balances[need] if isinstance(need, str) else self.equities[need[0]]
        return reader.guarded.timeout_seconds

    def go_on(self, before: "Sources") -> None:
        """Take over what earlier readers of the same names remember, wherever the source is the same."""
        _go_on(self.balances, before.balances)
        _go_on(self.equities, before.equities)
        _go_on(self.prices, before.prices)


def _go_on(readers: Mapping[str, R], before: Mapping[str, R]) -> None:
    for name in readers.keys() & before.keys():
        readers[name].go_on(before[name])
