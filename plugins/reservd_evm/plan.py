"""The queries of every reading, derived once from the options."""

from typing import NamedTuple

from reservd.plugin.evm import BALANCE_OF, DECIMALS, Call, Ether
from reservd_evm.config import EvmBalanceConfig

_ETHER_DECIMALS = 18


class Holding(NamedTuple):
    """One asset of one account, and its queries.

    Attributes:
        account: The account's name.
        asset: The asset's name.
        units: The query for the balance, in the asset's smallest unit.
        decimals: The asset's decimals, or the call for them.
    """

    account: str
    asset: str
    units: Call | Ether
    decimals: int | Call


def plan_holdings(config: EvmBalanceConfig) -> tuple[Holding, ...]:
    """Return the holdings to read. Encodes all calls."""
    decimals = {name: _decimals(config, name) for name in config.assets}
    holdings = []
    for name, account in config.accounts.items():
        for asset in config.assets_of(name):
            token = config.assets[asset].token
            units = Ether(account.address) if token is None else BALANCE_OF.on(token, account.address)
            holdings.append(Holding(name, asset, units, decimals[asset]))
    return tuple(holdings)


def plan_queries(holdings: tuple[Holding, ...]) -> tuple[Call | Ether, ...]:
    """Return all queries that the holdings need."""
    decimals = [holding.decimals for holding in holdings if isinstance(holding.decimals, Call)]
    return (*dict.fromkeys(decimals), *(holding.units for holding in holdings))


def _decimals(config: EvmBalanceConfig, asset: str) -> int | Call:
    options = config.assets[asset]
    if options.token is None:
        return _ETHER_DECIMALS
    return DECIMALS.on(options.token) if options.decimals is None else options.decimals
