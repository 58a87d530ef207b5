"""Balances and equity from a SQL database, with one read-only statement each."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, hookimpl
from reservd_sql.balances import SqlBalanceSource
from reservd_sql.equity import SqlEquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `sql` balance source."""
    return [SqlBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `sql` equity source."""
    return [SqlEquitySource]
