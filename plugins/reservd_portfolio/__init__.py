"""Equity as the sum of accounts and positions, each at its price."""

from typing import Any

from reservd.plugin import EquitySource, hookimpl
from reservd_portfolio.source import PortfolioEquitySource


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `portfolio` equity source."""
    return [PortfolioEquitySource]
