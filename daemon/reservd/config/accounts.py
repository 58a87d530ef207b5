"""Which accounts are a mode's reserve, and whether two modes count the same money."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from reservd.config.mode import ModeConfig
from reservd.config.wording import nearest, show
from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.readings import Account


class AccountKey(NamedTuple):
    """What makes money the same money, under whatever names."""

    venue: str
    address: str
    asset: str


class Holding(NamedTuple):
    """One asset of one account that counts as a mode's reserve."""

    source: str
    account: str
    asset: str
    key: AccountKey
    non_negative: bool

    @property
    def label(self) -> str:
        """Return what people call it."""
        return f"{self.source}/{self.account}"


def resolve_holdings(
    mode: ModeConfig, sources: Mapping[str, BalanceSource[Any]]
) -> tuple[tuple[Holding, ...], list[tuple[int, str]]]:
    """Return what counts as a mode's reserve, and what is wrong with its references.

    Args:
        mode: The mode.
        sources: The balance sources by name.

    Returns:
        The holdings; and, for each reference that does not hold, its index and what must hold.
    """
    holdings: list[Holding] = []
    problems: list[tuple[int, str]] = []
    for index, reference in enumerate(mode.reserve_balance_sources):
        name, _, wanted = reference.partition("/")
        source = sources.get(name)
        if source is None:
            problems.append((index, f"must name a balance source, got {show(name)}{nearest(name, sources)}"))
            continue
        accounts = source.accounts
        if wanted and wanted not in accounts:
            problems.append((index, f"must name an account of '{name}', got {show(wanted)}{nearest(wanted, accounts)}"))
            continue
        chosen = [accounts[wanted]] if wanted else list(accounts.values())
        found = [_holding(source, account, asset) for account in chosen for asset in _assets(account, mode)]
        if not found:
            problems.append((index, f"must hold {mode.share_class}, but no account of '{reference}' does"))
        holdings += found
    return tuple(holdings), problems


def find_shared(holdings: Iterable[Holding], mode: str, owners: dict[AccountKey, tuple[str, str]]) -> list[str]:
    """Return what is wrong with the holdings of a mode that others hold too.

    Args:
        holdings: The mode's.
        mode: The mode.
        owners: Who holds what already: mode and label by key. The mode's own are added.
    """
    problems = []
    seen: set[AccountKey] = set()
    for holding in holdings:
        owner, label = owners.setdefault(holding.key, (mode, holding.label))
        if owner != mode:
            where = f"{holding.key.asset} of {holding.key.venue} {holding.key.address}"
            problems.append(f"must not share an account: {where} ({holding.label}) is counted by {owner} ({label})")
        elif holding.key in seen:
            problems.append(f"must not count an account twice: {holding.label} {holding.asset} is {label}")
        seen.add(holding.key)
    return problems


def _assets(account: Account, mode: ModeConfig) -> list[str]:
    if account.assets is None:
        return [mode.share_class]
    return sorted(mode.reserve_assets & account.assets)


def _holding(source: BalanceSource[Any], account: Account, asset: str) -> Holding:
    key = AccountKey(account.venue, account.address, asset)
    return Holding(source.name, account.name, asset, key, source.NON_NEGATIVE)
