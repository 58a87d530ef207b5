"""Which accounts are a mode's reserve, and whether modes that share accounts agree how they are split."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from reservd.config.mode import ModeConfig
from reservd.config.wording import nearest, show
from reservd.plugin.interfaces import BalanceSource
from reservd.reserve.amounts import ZERO, add, subtract
from reservd.reserve.identity import AccountKey, Identities
from reservd.reserve.models import AllocationMethod
from reservd.reserve.readings import Account

_WHOLE = Decimal(1)
_MAX_LISTED = 12


class Holding(NamedTuple):
    """One asset of one account that counts as a mode's reserve, read from the source that names it first."""

    source: str
    account: str
    asset: str
    key: AccountKey
    non_negative: bool
    twins: tuple["Holding", ...] = ()
    """The same money under other names in the mode's configuration, in order."""

    @property
    def label(self) -> str:
        """Return a label for people."""
        return f"{self.source}/{self.account}"


def identify(sources: Mapping[str, BalanceSource[Any]]) -> Identities:
    """Return the identities that tell which accounts of balance sources hold the same money."""
    return Identities(account for source in sources.values() for account in source.accounts.values())


def resolve_holdings(
    mode: ModeConfig, sources: Mapping[str, BalanceSource[Any]], identities: Identities
) -> tuple[tuple[Holding, ...], list[tuple[int, str]]]:
    """Return what counts as a mode's reserve, and the errors in its references.

    Args:
        mode: The mode.
        sources: The balance sources by name.
        identities: Which of their accounts hold the same money.

    Returns:
        The holdings, each account once; and for each invalid reference, its index and what must hold.
    """
    holdings: list[Holding] = []
    named: set[tuple[str, str]] = set()
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
        found = [
            Holding(name, account.name, asset, identities.key(account, asset), source.NON_NEGATIVE)
            for account in chosen
            for asset in _assets(account, mode)
        ]
        if not found:
            held = sorted({asset for account in chosen for asset in account.assets or ()})
            what = f" (it holds {', '.join(held)})" if 0 < len(held) <= _MAX_LISTED else ""
            problems.append((index, f"must hold {mode.share_class}, but no account of '{reference}' does{what}"))
        twice = [f"{each.label} {each.asset}" for each in found if (each.label, each.asset) in named]
        problems += [(index, f"must not count an account twice: {label}") for label in twice]
        named.update((each.label, each.asset) for each in found)
        holdings += found
    return _join_twins(holdings), problems


class Disagreement(NamedTuple):
    """Why modes cannot share an account as they are configured."""

    mode: str
    option: str
    message: str


def find_disagreements(holding: Holding, sharers: Mapping[str, ModeConfig]) -> Iterator[Disagreement]:
    """Yield the reasons why modes cannot share an account.

    Args:
        holding: The account, as one of them names it.
        sharers: The modes that count it, by name, in the order of the configuration.
    """
    if len(sharers) < 2:  # noqa: PLR2004  # not shared
        return
    (first, config), *_ = sharers.items()
    what = f"{holding.asset} of {holding.key.venue} {holding.key.address}"
    method = config.reserve_allocation
    ratios = ZERO
    for mode, each in sharers.items():
        others = ", ".join(other for other in sharers if other != mode)
        if each.reserve_allocation is not method:
            message = f"must be {method}, as {first} has it, which shares {what}; got {each.reserve_allocation}"
            yield Disagreement(mode, "reserve_allocation", message)
        elif method is AllocationMethod.PRIORITY and each.reserve_allocation_priority is None:
            message = f"is required where reserve_allocation is priority: {what} is shared with {others}"
            yield Disagreement(mode, "reserve_allocation_priority", message)
        elif method is AllocationMethod.DEDICATED:
            ratio = each.reserve_allocation_ratio
            if ratio is None and each.reserve_allocation_amount is None:
                message = (
                    "is required, or reserve_allocation_amount in its place, where reserve_allocation is dedicated: "
                    f"{what} is shared with {others}"
                )
                yield Disagreement(mode, "reserve_allocation_ratio", message)
            rest, ratios = subtract(_WHOLE, ratios), add(ratios, ratio or ZERO)
            if ratios > _WHOLE:
                message = f"must be at most {rest}, what the others leave of {what}, got {ratio}"
                yield Disagreement(mode, "reserve_allocation_ratio", message)


def _join_twins(holdings: list[Holding]) -> tuple[Holding, ...]:
    joined: dict[AccountKey, Holding] = {}
    for holding in holdings:
        first = joined.setdefault(holding.key, holding)
        if first is not holding:
            joined[holding.key] = first._replace(twins=(*first.twins, holding))
    return tuple(joined.values())


def _assets(account: Account, mode: ModeConfig) -> list[str]:
    return sorted(mode.reserve_assets if account.assets is None else mode.reserve_assets & account.assets)
