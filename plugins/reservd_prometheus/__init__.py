"""Balances and equity from a Prometheus server, with one PromQL query per number."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, hookimpl
from reservd_prometheus.balances import PrometheusBalanceSource
from reservd_prometheus.equity import PrometheusEquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `prometheus` balance source."""
    return [PrometheusBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `prometheus` equity source."""
    return [PrometheusEquitySource]
