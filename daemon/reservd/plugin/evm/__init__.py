"""EVM chains, for plugins that read them: through any of several endpoints, at one block. Needs the extra `evm`.

Usage:
    async with EvmClient(name, config) as client:
        balance, decimals = BALANCE_OF.on(token, holder), DECIMALS.on(token)
        results = await client.read([balance, decimals])
        amount = whole_units(results.number(balance), results.number(decimals))
        observed_at = results.block.time
"""

from reservd.plugin.evm.addresses import Address
from reservd.plugin.evm.answers import invalid
from reservd.plugin.evm.blocks import Block
from reservd.plugin.evm.calls import (
    BALANCE_OF,
    DECIMALS,
    MAX_DECIMALS,
    Call,
    ContractError,
    Ether,
    Function,
    Query,
    whole_units,
)
from reservd.plugin.evm.client import EvmClient
from reservd.plugin.evm.feeds import LATEST_ROUND, fresh_answer, seconds_since
from reservd.plugin.evm.options import BlockTag, EvmConfig, EvmEndpoint, token_id
from reservd.plugin.evm.plugin import EvmPlugin
from reservd.plugin.evm.reading import Step
from reservd.plugin.evm.results import Results

__all__ = [
    "BALANCE_OF",
    "DECIMALS",
    "LATEST_ROUND",
    "MAX_DECIMALS",
    "Address",
    "Block",
    "BlockTag",
    "Call",
    "ContractError",
    "Ether",
    "EvmClient",
    "EvmConfig",
    "EvmEndpoint",
    "EvmPlugin",
    "Function",
    "Query",
    "Results",
    "Step",
    "fresh_answer",
    "invalid",
    "seconds_since",
    "token_id",
    "whole_units",
]
