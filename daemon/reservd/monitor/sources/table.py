"""The contents of one reading of a balance source, and what changed since the one before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import compress, count
from operator import ne
from typing import Protocol

from reservd.errors import CallError, FailureReason, SourceError
from reservd.reserve.readings import MAX_NOTE, AccountFailure, Balance, Reading

Place = tuple[str, str]
"""An account's name and an asset."""
Found = Balance | AccountFailure | CallError

_numbers = count()
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Table(Protocol):
    """One reading of a balance source, by account and asset."""

    def get(self, place: Place, /) -> Found | None:
        """Return the balance of a place, its failure, or None if the source did not mention it."""

    def is_within(self, earliest: datetime, latest: datetime) -> bool:
        """Return whether every balance, if there is any, was observed between these times."""

    def reading(self) -> Reading:
        """Return the whole reading.

        Raises:
            CallError: If the source could not be read.
        """

    def news(self, before: "Table", earliest: datetime, latest: datetime) -> set[Place] | None:
        """Return the places where this reading differs from another; None if all may differ.

        Args:
            before: The other reading, of the same source.
            earliest: Observations before this are not believed, and so count as different.
            latest: The same for observations after this.
        """


class FailedTable:
    """The reading of a source that could not be read."""

    def __init__(self, error: CallError) -> None:
        self._error = error

    def get(self, place: Place, /) -> Found | None:
        """Return the failure, whatever the place."""
        del place
        return self._error

    def is_within(self, earliest: datetime, latest: datetime) -> bool:
        """Return True: there is no balance."""
        del earliest, latest
        return True

    def reading(self) -> Reading:
        """Raise the failure."""
        raise CallError(self._error.reason, self._error.detail)

    def news(self, before: Table, earliest: datetime, latest: datetime) -> set[Place] | None:
        """Return None: all places may differ."""


class Layout:
    """The places of a reading, shared by all readings with the same places in the same order.

    Attributes:
        accounts: The account of each place.
        assets: The asset of each place; empty for a whole account that could not be read.
        read: How many of the places were read; those that were not come after them.
        places: The places.
        rows: The index of each place.

    Raises:
        SourceError: If a place was read twice.
    """

    __slots__ = ("accounts", "assets", "places", "read", "rows")

    def __init__(self, accounts: list[str], assets: list[str], read: int) -> None:
        self.accounts = accounts
        self.assets = assets
        self.read = read
        self.places: list[Place] = list(zip(accounts, assets, strict=True))
        if len(set(self.places[:read])) != read:
            raise SourceError(FailureReason.INVALID_DATA, "an account and asset appears twice")
        self.rows = {place: row for row, place in enumerate(self.places)}

    def is_of(self, accounts: list[str], assets: list[str], read: int) -> bool:
        """Return whether it has these places."""
        return read == self.read and accounts == self.accounts and assets == self.assets


class ReadTable:
    """The reading of a source that could be read.

    It is compared with another in whole columns, so that thousands of unchanged accounts cost little.

    Attributes:
        number: Unique to this reading.
        layout: Its places.
        amounts: The amount at each place; None where it could not be read.
        failures: The failures of the others.
        oldest: The time of the oldest observation; the end of time when nothing was read.
        newest: The time of the newest observation; the beginning of time when nothing was read.
    """

    __slots__ = (
        "_found",
        "_news",
        "_rows",
        "amounts",
        "failures",
        "layout",
        "newest",
        "number",
        "oldest",
    )

    def __init__(
        self, balances: Sequence[Balance], failures: Sequence[AccountFailure], before: "ReadTable | None" = None
    ) -> None:
        """Build a reading.

        Args:
            balances: The balances that were read.
            failures: The failures of the others.
            before: An earlier reading of the source, whose layout is shared if it is the same.

        Raises:
            SourceError: If it has two values for one account and asset.
        """
        self._found: list[Balance | AccountFailure] = [*balances, *failures]
        accounts = [each.account for each in self._found]
        assets = [balance.asset for balance in balances]
        assets += [failure.asset or "" for failure in failures]
        layout: Layout | None = before.layout if before is not None else None
        if layout is None or not layout.is_of(accounts, assets, len(balances)):
            layout = Layout(accounts, assets, len(balances))
        self.layout: Layout = layout
        self._rows = layout.rows
        self.amounts: list[Decimal | None] = [balance.amount for balance in balances]
        self.amounts += [None] * len(failures)
        # Mostly the same time for all.
        times = {balance.observed_at for balance in balances}
        self.oldest = min(times, default=LATEST)
        self.newest = max(times, default=EARLIEST)
        self.failures = failures
        self.number = next(_numbers)
        self._news: dict[int, set[Place]] = {}

    @property
    def empty(self) -> bool:
        """Whether no balance was read."""
        return not self.layout.read

    def get(self, place: Place, /) -> Balance | AccountFailure | None:
        """Return the balance of a place, its failure, or None if the source did not mention it."""
        row = self._rows.get(place)
        return None if row is None else self._found[row]

    def is_within(self, earliest: datetime, latest: datetime) -> bool:
        """Return whether every balance was observed between these times."""
        return earliest <= self.oldest and self.newest <= latest

    def reading(self) -> Reading:
        """Return all balances and failures."""
        found = [self.get(place) for place in self.layout.places]
        return Reading(
            [each for each in found if isinstance(each, Balance)],
            [each for each in found if isinstance(each, AccountFailure)],
        )

    def read(self) -> Iterator[tuple[Place, Balance]]:
        """Yield each place with its balance."""
        for place, found in zip(self.layout.places, self._found, strict=True):
            if isinstance(found, Balance):
                yield place, found

    def news(self, before: Table, earliest: datetime, latest: datetime) -> set[Place] | None:
        """Return the places whose amount has changed, or may no longer be believed."""
        if not isinstance(before, ReadTable):
            return None
        # Cached, because every group of modes asks. By number, so that a reading does not keep all earlier ones alive.
        news = self._news.get(before.number)
        if news is None:
            news = self._news[before.number] = self._changed_since(before)
        if not self.is_within(earliest, latest):
            late = {place for place, balance in self.read() if not earliest <= balance.observed_at <= latest}
            return news | late
        return news

    def _changed_since(self, before: "ReadTable") -> set[Place]:
        if self.layout is before.layout:
            return set(compress(self.layout.places, map(ne, self.amounts, before.amounts)))
        now = dict(zip(self.layout.places, self.amounts, strict=True))
        then = dict(zip(before.layout.places, before.amounts, strict=True))
        return {place for place in now.keys() | then.keys() if now.get(place) != then.get(place)}


def tabulate(reading: object, redact: Callable[[str], str], before: ReadTable | None = None) -> ReadTable:
    """Return a reading by account and asset.

    Args:
        reading: What a source returned.
        redact: Removes secrets from the details of failures.
        before: The reading before.

    Raises:
        SourceError: If it is not a reading, or has two values for one account and asset.
    """
    if not isinstance(reading, Reading):
        raise SourceError(
            FailureReason.INVALID_DATA, f"fetch_balances() returned {type(reading).__name__}, not a Reading"
        )
    balances = list(reading.balances)
    if not set(map(type, balances)) <= {Balance}:
        raise SourceError(FailureReason.INVALID_DATA, "a balance is not a Balance")
    failures = list(reading.failures)
    if not all(isinstance(failure, AccountFailure) for failure in failures):
        raise SourceError(FailureReason.INVALID_DATA, "a failure is not an AccountFailure")
    tidied = [replace(each, reason=_known(each.reason), detail=redact(str(each.detail))) for each in failures]
    if tidied:
        balances = _without_failed(balances, tidied)
    notes = [balance.note for balance in balances]
    if any(notes):
        balances = [replace(each, note=redact(each.note)[:MAX_NOTE]) if each.note else each for each in balances]
    return ReadTable(balances, tidied, before)


def _without_failed(balances: list[Balance], failures: Sequence[AccountFailure]) -> list[Balance]:
    """Return the balances without those that failed as well: what is read beside a failure is often a 0."""
    failed = {(failure.account, failure.asset) for failure in failures}
    return [each for each in balances if failed.isdisjoint({(each.account, each.asset), (each.account, None)})]


def _known(reason: object) -> FailureReason:
    """Return a reason of the closed set, whatever a plugin gave."""
    return reason if isinstance(reason, FailureReason) else FailureReason.INTERNAL
