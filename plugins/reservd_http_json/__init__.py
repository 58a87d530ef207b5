"""Balances, equity and prices from any JSON endpoint, each number located by a JSONPath."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, PriceSource, hookimpl
from reservd_http_json.balances import HttpJsonBalanceSource
from reservd_http_json.equity import HttpJsonEquitySource
from reservd_http_json.price import HttpJsonPriceSource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `http_json` balance source."""
    return [HttpJsonBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `http_json` equity source."""
    return [HttpJsonEquitySource]


@hookimpl
def reservd_register_price_sources() -> list[type[PriceSource[Any]]]:
    """Register the `http_json` price source."""
    return [HttpJsonPriceSource]
