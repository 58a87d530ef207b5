"""Positions in an Aave v3 pool: what can be withdrawn now, and what they are worth net of debt."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, hookimpl
from reservd_aave_v3.balances import AaveV3BalanceSource
from reservd_aave_v3.equity import AaveV3EquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `aave_v3` balance source."""
    return [AaveV3BalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `aave_v3` equity source."""
    return [AaveV3EquitySource]
