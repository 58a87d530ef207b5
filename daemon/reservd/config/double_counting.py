"""Balance sources that count the same money twice, or possibly do."""

from collections.abc import Iterator, Mapping
from typing import Any

from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.readings import Account

_Drawers = tuple[tuple[str, str, frozenset[str] | None], ...]
"""The accounts that are paid out of a pot, in order: venue, address and assets of each, whatever its name."""


def find_double_counting(sources: Mapping[str, BalanceSource[Any]]) -> Iterator[tuple[str, str]]:
    """Yield each source that counts a pot that an earlier source counts for other accounts, with the error.

    Two sources that read the same accounts in the same order are two views of the same money, which counts once.
    """
    first: dict[str, tuple[str, _Drawers]] = {}
    for name, source in sources.items():
        accounts = source.accounts
        refused: set[str] = set()
        for pot, names in source.pots.items():
            drawers = tuple(_identity(accounts[account]) for account in names)
            other, others = first.setdefault(pot, (name, drawers))
            if others != drawers and other not in refused:
                refused.add(other)
                message = (
                    f"must not count {pot}, which '{other}' counts for other accounts or assets: "
                    "give one source all of them"
                )
                yield name, message


def find_unidentified(sources: Mapping[str, BalanceSource[Any]]) -> Iterator[tuple[str, str]]:
    """Yield each source whose accounts may be those of another source, with a warning.

    Accounts are identified by their addresses. An address that only stands in for the account, such as the fingerprint
    of an API key, differs for each key of the same account.
    """
    known: dict[str, dict[str, set[str]]] = {}
    for name, source in sources.items():
        for account in source.accounts.values():
            known.setdefault(account.venue, {}).setdefault(name, set()).add(account.stand_in)
    for venue, by_source in known.items():
        for name, stand_ins in by_source.items():
            unsure = stand_ins - {""}
            others = [
                f"'{other}'" for other, theirs in by_source.items() if other != name and _may_meet(unsure, theirs)
            ]
            if others:
                names = ", ".join(others)
                yield (
                    name,
                    (
                        f"may be the same account on {venue} as {names}, which would count its money twice: "
                        "identify the account in its options"
                    ),
                )


def _identity(account: Account) -> tuple[str, str, frozenset[str] | None]:
    assets = account.assets
    if assets is not None:
        assets = frozenset(account.asset_ids.get(asset, asset) for asset in assets)
    return account.venue, account.address, assets


def _may_meet(unsure: set[str], theirs: set[str]) -> bool:
    """Return whether a stand-in may be of the same account as one of theirs: another stand-in, or the own id."""
    return any(mine != other for mine in unsure for other in theirs)
