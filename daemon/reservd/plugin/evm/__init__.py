"""Contracts on EVM chains, for plugins that read them: every call of a reading at one block. Needs the extra `evm`.

Usage:
    async with EvmClient(config) as client:
        balance, decimals = BALANCE_OF.on(token, holder), DECIMALS.on(token)
        results = await client.read([balance, decimals])
        amount = whole_units(results.number(balance), results.number(decimals))
        observed_at = results.block.time
"""

from reservd.plugin.evm.calls import BALANCE_OF, DECIMALS, Block, Call, Function, Results, invalid, whole_units
from reservd.plugin.evm.client import EvmClient
from reservd.plugin.evm.options import Address, EvmConfig

__all__ = [
    "BALANCE_OF",
    "DECIMALS",
    "Address",
    "Block",
    "Call",
    "EvmClient",
    "EvmConfig",
    "Function",
    "Results",
    "invalid",
    "whole_units",
]
