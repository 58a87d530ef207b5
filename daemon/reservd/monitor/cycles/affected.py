"""Finds the modes that a change at a source affects."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from reservd.monitor.sources.table import Place
from reservd.monitor.watches.watch import ModeWatch
from reservd.reserve.identity import AccountKey


class Followers(NamedTuple):
    """The modes that a change at a source may affect.

    Attributes:
        watches: The modes.
        intervals: The intervals of their checks, in seconds.
        sources: All balance sources that they count.
    """

    watches: Sequence[ModeWatch]
    intervals: frozenset[float]
    sources: frozenset[str]


class AffectedModes:
    """Finds the modes that a change at a source affects.

    These are the modes that count the place, and those that share an account with one of them: what one mode lacks
    decides what is left for the others.
    """

    def __init__(self, watches: Iterable[ModeWatch]) -> None:
        self._by_place: dict[tuple[str, Place], list[ModeWatch]] = {}
        self._by_account: dict[AccountKey, list[ModeWatch]] = {}
        self._followers: dict[str, Followers] = {}
        for watch in watches:
            for holding in watch.holdings:
                for named in (holding, *holding.twins):
                    self._by_place.setdefault((named.source, (named.account, named.asset)), []).append(watch)
                self._by_account.setdefault(holding.key, []).append(watch)

    def of(self, source: str) -> Followers:
        """Return all modes that a change at a source may affect. Computed once."""
        if source not in self._followers:
            watches = self._found(source, [place for named, place in self._by_place if named == source])
            intervals = frozenset(watch.interval_seconds for watch in watches)
            sources = frozenset(holding.source for watch in watches for holding in watch.holdings)
            self._followers[source] = Followers(watches, intervals, sources)
        return self._followers[source]

    def at(self, source: str, news: set[Place] | None) -> Sequence[ModeWatch]:
        """Return the modes to check when these places of a source have changed; None if any place may have."""
        return self.of(source).watches if news is None else self._found(source, news)

    def _found(self, source: str, places: Iterable[Place]) -> Sequence[ModeWatch]:
        found: dict[str, ModeWatch] = {}
        accounts: set[AccountKey] = set()
        new = [watch for place in places for watch in self._by_place.get((source, place), ())]
        while new:
            watch = new.pop()
            if watch.mode in found:
                continue
            found[watch.mode] = watch
            for holding in watch.holdings:
                # Sharers are looked up once per account, however many they are.
                if holding.key not in accounts:
                    accounts.add(holding.key)
                    new += self._by_account[holding.key]
        return tuple(found.values())
