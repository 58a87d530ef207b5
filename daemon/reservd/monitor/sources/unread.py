"""Finds the accounts that are missing from a reading, and why."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import structlog

from reservd.errors import CallError, FailureReason
from reservd.monitor.observer import Observer
from reservd.monitor.sources.table import Layout, Place, ReadTable
from reservd.plugin.guard import GuardedPlugin
from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.readings import AccountFailure

log = structlog.get_logger(__name__)

_LOGGED = 10
"""The most accounts that one log line names."""
_SHOWN = 3
"""The most failures that the reason of a whole source includes."""


class UnreadAccounts:
    """Reports the accounts of a source that were not read: counts them at every reading, logs them when they change.

    Args:
        guarded: The source, guarded.
        source: The source itself.
        observers: Notified of the counts.
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
        """Take in a reading. An account or asset that it does not mention has failed: absent is not zero."""
        if table.layout is not self._layout:
            self._layout = table.layout
            self._silent = self._accounts.difference(table.layout.accounts)
            self._lacking = self._places.difference(table.layout.places)
        silent, lacking = self._silent, self._lacking
        if not silent and not lacking and not table.failures:
            self._tell(0, ())
            self._log([], set(), "")
            return
        # If an account is silent or failed as a whole, its assets add nothing.
        told = silent.union(failure.account for failure in table.failures if failure.asset is None)
        absent = [account for account, _ in lacking if account not in told]
        names = silent.union(absent, (failure.account for failure in table.failures))
        reasons = [failure.reason for failure in table.failures]
        reasons += [FailureReason.INVALID_DATA] * (len(silent) + len(absent))
        self._tell(len(names), reasons)
        if not table.empty:
            self._log(sorted(names, key=str), set(reasons), self._why(table, absent))

    def note_failure(self) -> None:
        """Take in a failure of the whole source. The reason is reported for the source, not again for each account."""
        self._tell(len(self._accounts), ())

    @cached_property
    def _accounts(self) -> frozenset[str]:
        return self._guarded.look(lambda: frozenset(self._source.accounts), frozenset(), "accounts")

    @cached_property
    def _places(self) -> frozenset[Place]:
        """The accounts with each asset that they are asked for, as far as they are known in advance."""
        return self._guarded.look(lambda: frozenset(_places(self._source)), frozenset(), "accounts")

    def _tell(self, unread: int, reasons: Sequence[FailureReason]) -> None:
        for observer in self._observers:
            observer.accounts_read(self._source.name, unread=unread, failures=reasons)

    def _why(self, table: ReadTable, absent: Sequence[str]) -> str:
        """Return the reason of one of them with its detail: the reason alone does not help whoever wrote the source."""
        for failure in table.failures:
            if failure.detail:
                return f"{failure.account}: {failure.detail}"
        for account, asset in sorted(self._lacking, key=str):
            if account in absent:
                return f"{account}: {asset} is not in the reading"
        if not self._silent:
            return ""
        # A name that is spelt in two ways is found by seeing both.
        strange = self._guarded.redact(min({str(name) for name in table.layout.accounts} - self._accounts, default=""))
        instead = f", but {strange}, which the source has not declared, is" if strange else ""
        return f"{min(self._silent, key=str)}: it is not in the reading{instead}"

    def _log(self, names: list[str], reasons: set[FailureReason], why: str) -> None:
        before, self._logged = self._logged, names
        if names == before:
            return
        bound = log.bind(source=self._source.name)
        if names:
            bound.warning(
                "accounts.unread",
                accounts=names[:_LOGGED],
                unread=len(names),
                reasons=sorted(map(str, reasons)),
                why=why,
            )
        else:
            bound.info("accounts.recovered")


def _places(source: BalanceSource[Any]) -> Iterator[Place]:
    for name, account in source.accounts.items():
        for asset in account.assets or ():
            yield name, asset


def why_nothing(failures: Sequence[AccountFailure]) -> CallError:
    """Return the failure of a source of which no account could be read, with the most frequent reason."""
    if not failures:
        return CallError(FailureReason.INVALID_DATA, "the reading has no balance")
    ((reason, _),) = Counter(failure.reason for failure in failures).most_common(1)
    said = [": ".join(filter(None, (str(each.account), each.reason, each.detail))) for each in failures[:_SHOWN]]
    more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    return CallError(reason, f"no account could be read: {'; '.join(said)}{more}")
