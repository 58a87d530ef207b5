"""An `evm` balance source on a test's own node."""

from typing import Any

from reservd_evm.config import EvmConfig
from reservd_evm.source import EvmSource


def evm_source(url: str, **options: Any) -> EvmSource:
    """Return a source named "evm" that reads from `url`, on Anvil's chain unless told otherwise."""
    return EvmSource("evm", EvmConfig.model_validate({"rpc_url": url, "chain_id": 31337, "timeout": 30} | options))


def addresses(count: int) -> list[str]:
    """Return addresses that hold nothing yet."""
    return [f"0x{0xACC0_0000 + number:040x}" for number in range(count)]
