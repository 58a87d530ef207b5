"""Balance sources that may count the same money without anybody knowing."""

from collections.abc import Iterator, Mapping
from typing import Any

from reservd.plugin.interfaces import BalanceSource


def find_unidentified(sources: Mapping[str, BalanceSource[Any]]) -> Iterator[tuple[str, str]]:
    """Yield each source whose accounts cannot be told from another one's, with a warning.

    Accounts are told apart by their addresses. One that only stands in for the account, as the fingerprint of a key
    does, is another for each key of it.
    """
    known: dict[str, dict[str, set[str]]] = {}
    for name, source in sources.items():
        for account in source.accounts.values():
            known.setdefault(account.venue, {}).setdefault(name, set()).add(account.stand_in)
    for venue, told in known.items():
        for name, stand_ins in told.items():
            unsure = stand_ins - {""}
            others = [f"'{other}'" for other, theirs in told.items() if other != name and _may_meet(unsure, theirs)]
            if others:
                names = ", ".join(others)
                yield (
                    name,
                    (
                        f"may be the same account on {venue} as {names}, and count its money twice: "
                        "nobody tells whose it is unless its options do"
                    ),
                )


def _may_meet(unsure: set[str], theirs: set[str]) -> bool:
    """Whether an account of a stand-in may be the same one as another's, which is known by another or by its own id."""
    return any(mine != other for mine in unsure for other in theirs)
