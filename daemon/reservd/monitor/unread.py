"""Accounts that are missing from a reading: which, how many, and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import structlog

from reservd.errors import CallError, FailureReason
from reservd.monitor.observer import Observer
from reservd.monitor.table import Layout, Place, ReadTable
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.readings import AccountFailure

log = structlog.get_logger(__name__)

_LOGGED = 10
"""Accounts that are named in one line."""
_SHOWN = 3
"""Failures that the reason of a whole source is made of."""


class UnreadAccounts:
    """Tells which accounts of a source are not read: counted with every reading, logged when they are others.

    Args:
        guarded: The source, under guard.
        source: The same.
        observers: Notified of it.
    """

    def __init__(self, guarded: GuardedPlugin, source: BalanceSource[Any], observers: list[Observer]) -> None:
        self._guarded = guarded
        self._source = source
        self._observers = observers
        self._logged: list[str] = []
        self._layout: Layout | None = None
        self._silent: frozenset[str] = frozenset()
        self._lacking: frozenset[Place] = frozenset()

    def note(self, table: ReadTable) -> None:
        """Take a reading. An account or asset that it does not name at all has failed: absent is not zero."""
        if table.layout is not self._layout:
            self._layout = table.layout
            self._silent = self._accounts.difference(table.layout.accounts)
            self._lacking = self._places.difference(table.layout.places)
        silent, lacking = self._silent, self._lacking
        if not silent and not lacking and not table.failures:
            self._tell(0, ())
            self._log([], set(), "")
            return
        # Of an account that is silent, or failed as a whole, its assets say nothing more.
        told = silent.union(failure.account for failure in table.failures if failure.asset is None)
        absent = [account for account, _ in lacking if account not in told]
        names = silent.union(absent, (failure.account for failure in table.failures))
        reasons = [failure.reason for failure in table.failures]
        reasons += [FailureReason.INVALID_DATA] * (len(silent) + len(absent))
        self._tell(len(names), reasons)
        if not table.empty:
            self._log(sorted(names, key=str), set(reasons), self._why(table, absent))

    def note_failure(self) -> None:
        """Take it that all of the source failed. Why is told of the source, and would be the same of each account."""
        self._tell(len(self._accounts), ())

    @cached_property
    def _accounts(self) -> frozenset[str]:
        return self._guarded.look(lambda: frozenset(self._source.accounts), frozenset(), "accounts")

    @cached_property
    def _places(self) -> frozenset[Place]:
        """The accounts with each asset that they are asked for, where that is known beforehand."""
        return self._guarded.look(lambda: frozenset(_places(self._source)), frozenset(), "accounts")

    def _tell(self, unread: int, reasons: Sequence[FailureReason]) -> None:
        for observer in self._observers:
            observer.accounts_read(self._source.name, unread=unread, failures=reasons)

    def _why(self, table: ReadTable, absent: Sequence[str]) -> str:
        """Return why for one of them: with its reason alone, whoever wrote the source could only guess."""
        for failure in table.failures:
            if failure.detail:
                return f"{failure.account}: {failure.detail}"
        for account, asset in sorted(self._lacking, key=str):
            if account in absent:
                return f"{account}: {asset} is not in the reading"
        return f"{min(self._silent, key=str)}: it is not in the reading" if self._silent else ""

    def _log(self, names: list[str], reasons: set[FailureReason], why: str) -> None:
        before, self._logged = self._logged, names
        if names == before:
            return
        bound = log.bind(source=self._source.name)
        if names:
            bound.warning(
                "accounts.unread", accounts=names[:_LOGGED], unread=len(names), reasons=sorted(reasons), why=why
            )
        else:
            bound.info("accounts.recovered")


def _places(source: BalanceSource[Any]) -> Iterator[Place]:
    for name, account in source.accounts.items():
        for asset in account.assets or ():
            yield name, asset


def why_nothing(failures: Sequence[AccountFailure]) -> CallError:
    """Return why a source has failed of whose accounts not one could be read: for the reason of most of them."""
    if not failures:
        return CallError(FailureReason.INVALID_DATA, "the reading has no balance")
    ((reason, _),) = Counter(failure.reason for failure in failures).most_common(1)
    said = [": ".join(filter(None, (str(each.account), each.reason, each.detail))) for each in failures[:_SHOWN]]
    more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    return CallError(reason, f"not one account could be read: {'; '.join(said)}{more}")
