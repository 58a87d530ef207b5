"""The accounts and assets of a portfolio, resolved and checked before anything is read."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from reservd.plugin import Account, AccountKey, BalanceReference, Identities, Readers
from reservd_portfolio.config import PortfolioBalances, PortfolioConfig


class Place(NamedTuple):
    """One asset of one account.

    Attributes:
        reference: The source it is read from, as the options name it.
        account: The account's name.
        asset: The asset.
        options: How it is counted.
    """

    reference: BalanceReference
    account: str
    asset: str
    options: PortfolioBalances

    @property
    def label(self) -> str:
        """Return its name for people."""
        return f"{self.reference.instance}/{self.account} {self.asset}"


def find_places(config: PortfolioConfig, readers: Readers) -> tuple[Place, ...]:
    """Return every asset of every account that counts.

    Raises:
        ValueError: If one does not exist, would count twice, or has no price.
    """
    places: list[Place] = []
    first: dict[AccountKey, str] = {}
    named = [readers.accounts(options.source) for options in config.balances]
    identities = Identities(account for accounts in named for account in accounts.values())
    for index, (options, accounts) in enumerate(zip(config.balances, named, strict=True)):
        try:
            found = list(_places(options, accounts))
        except ValueError as error:
            raise ValueError(f"balances[{index}]: {error}") from None
        for place in found:
            key = identities.key(accounts[place.account], place.asset)
            if key in first:
                raise ValueError(f"balances[{index}]: must not count money twice: {place.label} is {first[key]}")
            first[key] = place.label
            places.append(place)
    _check_equities(config)
    _check_prices(config, places)
    return tuple(places)


def _places(options: PortfolioBalances, accounts: Mapping[str, Account]) -> Iterator[Place]:
    if options.assets is None and any(account.assets is None for account in accounts.values()):
        raise ValueError(f"must have assets: '{options.source}' does not declare which it has")
    for asset in options.assets or ():
        if all(asset not in (account.assets or {asset}) for account in accounts.values()):
            raise ValueError(f"must have assets of '{options.source}', which is not configured to read {asset}")
    for account in accounts.values():
        known = account.assets
        wanted = sorted(known or ()) if options.assets is None else dict.fromkeys(options.assets)
        for asset in wanted:
            if known is None or asset in known:
                yield Place(options.source, account.name, asset, options)


def _check_equities(config: PortfolioConfig) -> None:
    seen: set[tuple[str, str]] = set()
    for index, options in enumerate(config.equity):
        key = options.source.instance, options.currency or config.currency
        if key in seen:
            raise ValueError(f"equity[{index}]: must not count '{options.source}' twice")
        seen.add(key)


def _check_prices(config: PortfolioConfig, places: list[Place]) -> None:
    assets = {place.asset: place.label for place in places}
    assets |= {options.currency: options.source for options in config.equity if options.currency is not None}
    for asset, where in assets.items():
        if asset != config.currency and asset not in config.prices:
            raise ValueError(f"prices: must have {asset}, which is in {where}")
