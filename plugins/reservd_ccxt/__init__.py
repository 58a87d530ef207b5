"""Balances and prices on any exchange that ccxt supports."""

from typing import Any

from reservd.plugin import BalanceSource, PriceSource, hookimpl
from reservd_ccxt.price import CcxtPriceSource
from reservd_ccxt.source import CcxtSource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `ccxt` balance source."""
    return [CcxtSource]


@hookimpl
def reservd_register_price_sources() -> list[type[PriceSource[Any]]]:
    """Register the `ccxt` price source."""
    return [CcxtPriceSource]
