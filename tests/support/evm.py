"""An `evm` balance source on a test's own node."""

from collections.abc import Sequence
from typing import Any

from reservd_evm.config import EvmBalanceConfig
from reservd_evm.source import EvmSource


def evm_source(urls: str | Sequence[str], **options: Any) -> EvmSource:
    """Return a source named "evm" that reads from one or several URLs, by default on Anvil's chain."""
    endpoints = {"rpc_url": urls} if isinstance(urls, str) else {"rpc_urls": list(urls)}
    return EvmSource("evm", EvmBalanceConfig.model_validate(endpoints | {"chain_id": 31337, "timeout": 30} | options))


def addresses(count: int) -> list[str]:
    """Return addresses without balances."""
    return [f"0x{0xACC0_0000 + number:040x}" for number in range(count)]
