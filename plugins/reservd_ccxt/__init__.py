"""Balances on any exchange that ccxt knows."""

from typing import Any

from reservd.plugin import BalanceSource, hookimpl
from reservd_ccxt.source import CcxtSource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `ccxt` balance source."""
    return [CcxtSource]
