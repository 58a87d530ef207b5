"""Fixed balances, equity and prices, straight from the configuration."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, PriceSource, hookimpl
from reservd_static.price import StaticPriceSource
from reservd_static.source import StaticBalanceSource, StaticEquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `static` balance source."""
    return [StaticBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `static` equity source."""
    return [StaticEquitySource]


@hookimpl
def reservd_register_price_sources() -> list[type[PriceSource[Any]]]:
    """Register the `static` price source."""
    return [StaticPriceSource]
