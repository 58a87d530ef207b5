"""The newest that a source told of: what it tells otherwise of an earlier moment is not believed.

Two nodes behind one address, or one that takes over and lags, tell what was before what is known already. A reserve
that fell would be back for that one reading, and its incident over.

What is ahead of the clock counts for nothing here: the venue's clock or this one was wrong, and all that is told since
it was set right is of an earlier moment.
"""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Generic, TypeVar

from reservd.errors import FailureReason, SourceError
from reservd.monitor.clock import Clock
from reservd.monitor.table import EARLIEST, Place, ReadTable
from reservd.reserve.amounts import multiply, subtract
from reservd.reserve.readings import AccountFailure, Balance, Equity, Price

_LAG = timedelta(seconds=60)
"""How far a node lags at most that is not at fault: less than a jump is waited for, as what stands is told again."""

_ACCRUAL = Decimal("0.0001")
"""What a balance earns within that time at most, as a part of it; also what a token adds to all its balances at once,
day by day."""

E = TypeVar("E", Equity, Price)


class NewestAnswers(Generic[E]):
    """What one source told last of each thing that it is asked for.

    An equity or a price is another one every moment. So where nodes take turns of which one lags a little, what the
    others told stands: if it were a failure, a mode that always meets the one that lags would be unknown.

    Args:
        clock: Tells what is ahead of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, E] = {}

    def take(self, key: str, answer: E) -> E:
        """Return an answer; or what was told of a moment later, where that is something else.

        Raises:
            SourceError: If something else was told of much later.
        """
        seen = self._seen.get(key)
        if seen is None or seen.observed_at > self._clock.now().wall or seen.observed_at <= answer.observed_at:
            self._seen[key] = answer
            return answer
        if _told(answer) == _told(seen):
            return answer
        if seen.observed_at - answer.observed_at > _LAG:
            raise SourceError(FailureReason.INVALID_DATA, _why_older(answer, seen))
        return seen


class NewestBalances:
    """What one source told last of each place.

    A balance that earns is another one every moment, too: what was told of a later one stands where they differ by no
    more than that. Where they differ by more, money has moved, and it is not certain what is there.

    A place is remembered as long as its account fails, and forgotten when the source says nothing of it.

    Args:
        clock: Tells what is ahead of it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._table: ReadTable | None = None
        self._others: dict[Place, Balance] = {}
        self._newest = EARLIEST

    def take(self, table: ReadTable) -> ReadTable:
        """Return a reading, with a failure in place of each balance that was told otherwise of a later moment."""
        # Nearly every reading is newer than the one before in all its places, and costs no look at them.
        if table.oldest > self._newest and not table.failures:
            self._others = {}
        else:
            table = self._compared(table)
        self._newest = max([table.newest, *(balance.observed_at for balance in self._others.values())])
        self._table = table
        return table

    def _compared(self, table: ReadTable) -> ReadTable:
        now = self._clock.now().wall
        told, seen = dict(table.read()), {place: each for place, each in self._seen() if each.observed_at <= now}
        later = {
            place: seen[place] for place, balance in told.items() if place in seen and _precedes(balance, seen[place])
        }
        failed = {failure.account for failure in table.failures}
        unread = {place: each for place, each in seen.items() if place[0] in failed and place not in told}
        self._others = unread | later
        others = {place: each for place, each in later.items() if each.amount != told[place].amount}
        if not others:
            return table
        contrary = {place: each for place, each in others.items() if not _has_accrued(told[place], each)}
        failures = [
            AccountFailure(account, FailureReason.INVALID_DATA, _why_older(told[account, asset], each), asset)
            for (account, asset), each in contrary.items()
        ]
        balances = [others.get(place, balance) for place, balance in told.items() if place not in contrary]
        return ReadTable(balances, [*table.failures, *failures], table)

    def _seen(self) -> Iterator[tuple[Place, Balance]]:
        if self._table is not None:
            yield from self._table.read()
        yield from self._others.items()


def _told(answer: Equity | Price) -> object:
    return (answer.amount, answer.complete) if isinstance(answer, Equity) else answer.value


def _precedes(balance: Balance, seen: Balance) -> bool:
    """Whether a balance is of an earlier moment. Blocks count within one moment only: a chain may begin anew."""
    if balance.observed_at != seen.observed_at:
        return balance.observed_at < seen.observed_at
    return balance.block is not None and seen.block is not None and balance.block < seen.block


def _has_accrued(balance: Balance, seen: Balance) -> bool:
    """Whether a balance may have become what was told of a later moment without any money that moved."""
    if seen.observed_at - balance.observed_at > _LAG:
        return False
    return subtract(seen.amount, balance.amount).copy_abs() <= multiply(_ACCRUAL, seen.amount).copy_abs()


def _why_older(answer: Balance | Equity | Price, seen: Balance | Equity | Price) -> str:
    told, before = answer.observed_at.isoformat(), seen.observed_at.isoformat()
    return f"is of {told} and contradicts what was told before of {before}"
