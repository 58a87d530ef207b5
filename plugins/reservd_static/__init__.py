"""Fixed balances and equity, straight from the configuration."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, hookimpl
from reservd_static.source import StaticBalanceSource, StaticEquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `static` balance source."""
    return [StaticBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `static` equity source."""
    return [StaticEquitySource]
