"""Rejects readings that are older than the newest one from the same source and contradict it.

Two nodes behind one address, or a standby node that lags, may return older data after newer data. A reserve that has
fallen would seem to recover for one reading, and its incident would end.

An observation ahead of the clock never counts as the newest: the venue's clock or this one was wrong, and everything
read since the correction is older.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Generic, TypeVar

from reservd.errors import FailureReason, SourceError
from reservd.monitor.clock import Clock
from reservd.monitor.sources.table import EARLIEST, Place, ReadTable
from reservd.reserve.amounts import multiply, subtract
from reservd.reserve.readings import AccountFailure, Balance, Equity, Price

_LAG = timedelta(seconds=60)
"""The largest lag of a healthy node. Shorter than the wait after a jump, since the newest reading is returned again."""

_RECALLED_FOR = timedelta(seconds=120)
"""The age up to which a balance that was read before the process started counts."""

_ACCRUAL = Decimal("0.0001")
"""The largest part of a balance that it may earn in that time, or in one daily payout to all holders of a token."""

E = TypeVar("E", Equity, Price)


class NewestAnswers(Generic[E]):
    """The newest answer of one source to each question.

    Equities and prices change all the time. If nodes take turns and one lags a little, the newest answer of the others
    is returned in place of a failure: otherwise a mode that always reads from the node that lags would become unknown.

    Args:
        clock: Tells which observations are ahead of the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, E] = {}

    def take(self, key: str, answer: E) -> E:
        """Return an answer, or the newest one if that is later and differs.

        Raises:
            SourceError: If the newest one differs and is much later.
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
    """The newest balance of each place from one source.

    A balance that earns changes all the time, too: the newest one is returned if the two differ by no more than accrual
    explains. If they differ by more, money has moved, and what is there is uncertain.

    A place is remembered while its account fails, and forgotten once the source no longer lists it.

    Args:
        clock: Tells which observations are ahead of the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._table: ReadTable | None = None
        self._others: dict[Place, Balance] = {}
        self._recalled: dict[Place, Balance] = {}
        self._newest = EARLIEST

    def recall(self, balance: Balance) -> None:
        """Remember a balance that was read before the process started.

        Only while it is young, because its account may have been configured otherwise since.
        """
        place = balance.account, balance.asset
        seen = self._recalled.get(place)
        if seen is None or _precedes(seen, balance):
            self._recalled[place] = balance
            self._newest = max(self._newest, balance.observed_at)

    def take(self, table: ReadTable) -> ReadTable:
        """Return a reading in which each balance that a later one contradicts is replaced by a failure."""
        # Nearly every reading is newer than the last in all its places, so that none need be compared.
        if table.oldest > self._newest and not table.failures:
            self._others, self._recalled = {}, {}
        else:
            table = self._compared(table)
        others = (*self._others.values(), *self._recalled.values())
        self._newest = max([table.newest, *(balance.observed_at for balance in others)])
        self._table = table
        return table

    def _compared(self, table: ReadTable) -> ReadTable:
        now = self._clock.now().wall
        self._recalled = {
            place: each for place, each in self._recalled.items() if now - each.observed_at <= _RECALLED_FOR
        }
        told, seen = dict(table.read()), self._seen(now)
        later = {
            place: seen[place] for place, balance in told.items() if place in seen and _precedes(balance, seen[place])
        }
        failed = {failure.account for failure in table.failures}
        unread = {place: each for place, each in seen.items() if place[0] in failed and place not in told}
        self._others = {
            place: each for place, each in (unread | later).items() if each is not self._recalled.get(place)
        }
        if not later:
            return table
        # The same amount is what the later one says, too: by its time and block, payments in between are in it.
        contrary = {
            place: each
            for place, each in later.items()
            if each.amount != told[place].amount and not _has_accrued(told[place], each)
        }
        failures = [
            AccountFailure(account, FailureReason.INVALID_DATA, _why_older(told[account, asset], each), asset)
            for (account, asset), each in contrary.items()
        ]
        balances = [later.get(place, balance) for place, balance in told.items() if place not in contrary]
        return ReadTable(balances, [*table.failures, *failures], table)

    def _seen(self, now: datetime) -> dict[Place, Balance]:
        """Return the newest balance of each place, without those that are ahead of the clock."""
        read = self._table.read() if self._table is not None else ()
        seen = {place: each for place, each in chain(read, self._others.items()) if each.observed_at <= now}
        for place, each in self._recalled.items():
            if each.observed_at <= now and (place not in seen or _precedes(seen[place], each)):
                seen[place] = each
        return seen


def _told(answer: Equity | Price) -> object:
    return (answer.amount, answer.complete) if isinstance(answer, Equity) else answer.value


def _precedes(balance: Balance, seen: Balance) -> bool:
    """Return whether a balance is older. Blocks are compared within one instant only, as a chain may restart."""
    if balance.observed_at != seen.observed_at:
        return balance.observed_at < seen.observed_at
    return balance.block is not None and seen.block is not None and balance.block < seen.block


def _has_accrued(balance: Balance, seen: Balance) -> bool:
    """Return whether accrual alone may turn a balance into the one that was seen later."""
    if seen.observed_at - balance.observed_at > _LAG:
        return False
    return subtract(seen.amount, balance.amount).copy_abs() <= multiply(_ACCRUAL, seen.amount).copy_abs()


def _why_older(answer: Balance | Equity | Price, seen: Balance | Equity | Price) -> str:
    told, before = answer.observed_at.isoformat(), seen.observed_at.isoformat()
    return f"the answer is dated {told} and contradicts one read before, dated {before}"
