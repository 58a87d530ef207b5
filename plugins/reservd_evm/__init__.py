"""Balances of native coin and ERC-20 tokens on one EVM chain."""

from typing import Any

from reservd.plugin import BalanceSource, hookimpl
from reservd_evm.source import EvmSource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `evm` balance source."""
    return [EvmSource]
