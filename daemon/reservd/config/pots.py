"""Money that several accounts are paid out of: whether each pot of it is counted by one source alone."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.readings import Account

_Drawers = tuple[tuple[str, str, frozenset[str] | None], ...]
"""Who draws on a pot, in order, under whatever names."""


class Overdraft(NamedTuple):
    """Why a balance source cannot be configured beside another one."""

    source: str
    message: str


def find_overdrafts(sources: Mapping[str, BalanceSource[Any]]) -> Iterator[Overdraft]:
    """Yield each source that would promise again what one before it promises to other accounts.

    Two that read the same accounts in the same order are two views of the same money, which counts once.
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
                yield Overdraft(name, message)


def _identity(account: Account) -> tuple[str, str, frozenset[str] | None]:
    assets = account.assets
    if assets is not None:
        assets = frozenset(account.asset_ids.get(asset, asset) for asset in assets)
    return account.venue, account.address, assets
