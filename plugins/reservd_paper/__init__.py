"""A small simulated treasury, to run reservd without a venue."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, Replenisher, hookimpl
from reservd_paper.replenisher import PaperReplenisher
from reservd_paper.source import PaperBalanceSource, PaperEquitySource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `paper` balance source."""
    return [PaperBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `paper` equity source."""
    return [PaperEquitySource]


@hookimpl
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:
    """Register the `paper` replenisher."""
    return [PaperReplenisher]
