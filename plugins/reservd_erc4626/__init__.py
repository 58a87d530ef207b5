"""Positions in ERC-4626 and ERC-7540 vaults: what can be withdrawn now, and what they are worth."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, hookimpl
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `erc4626` balance source."""
    return [Erc4626BalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `erc4626` equity source."""
    return [Erc4626EquitySource]
