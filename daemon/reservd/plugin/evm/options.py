"""What every plugin of EVM chains is told: the node, the chain, the block."""

from typing import Annotated, Literal

from eth_utils.address import is_checksum_address, is_hex_address
from pydantic import AfterValidator, PositiveInt
from pydantic_core import PydanticCustomError

from reservd.plugin.options import SourceConfig, Url


def _check_address(text: str) -> str:
    digits = text.removeprefix("0x")
    if not (text.startswith("0x") and is_hex_address(text)):
        raise PydanticCustomError("address", "must be 0x and 40 hexadecimal digits, got {got}", {"got": text[:80]})
    if not int(digits, 16):
        raise PydanticCustomError("address", "must not be the zero address")
    if digits not in {digits.lower(), digits.upper()} and not is_checksum_address(text):
        raise PydanticCustomError(
            "address", "must have its EIP-55 checksum right (a digit or a capital is wrong), got {got}", {"got": text}
        )
    return text.lower()


Address = Annotated[str, AfterValidator(_check_address)]
"""A 20-byte address as lower-case text; a mixed-case one must have the right EIP-55 checksum."""


class EvmConfig(SourceConfig):
    """Options of every plugin that reads contracts on an EVM chain."""

    rpc_url: Url
    """The node's JSON-RPC endpoint. A secret: providers put their keys into it."""
    chain_id: PositiveInt
    """The chain's EIP-155 id, 1 for Ethereum. A node of another chain is not believed."""
    block: Literal["latest", "safe", "finalized"] = "latest"
    """The block that is read; the last two never change any more, and are minutes old."""
    multicall: Address | None = "0xca11bde05977b3631167028862be2a173976ca11"
    """Where Multicall3 is; `null` where it is not, so that each call is made by itself."""

    @property
    def venue(self) -> str:
        """The chain's CAIP-2 name, such as `eip155:1`."""
        return f"eip155:{self.chain_id}"
