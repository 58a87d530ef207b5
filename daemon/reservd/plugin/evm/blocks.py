"""Blocks: which one a reading is of, and whether the node that returned it can be trusted."""

from datetime import UTC, datetime
from typing import NamedTuple

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.answers import invalid, parse_data, parse_quantity
from reservd.plugin.evm.rpc import RpcCall, RpcError

CHAIN_ID = RpcCall("eth_chainId", ())
SYNCING = RpcCall("eth_syncing", ())

_HASH_BYTES = 32


class ReorgError(SourceError):
    """The block that was read is no longer in the chain.

    Attributes:
        number: Its height.
    """

    def __init__(self, block: "Block") -> None:
        self.number = block.number
        super().__init__(FailureReason.INVALID_DATA, f"block {block.number} was replaced while it was read")


class Block(NamedTuple):
    """One block of the chain.

    Attributes:
        number: Its height.
        timestamp: Its time in Unix seconds.
        hash: Its hash, 32 bytes. It differs from that of any other block of the same height.
        parent_hash: The hash of the block before it.
    """

    number: int
    timestamp: int
    hash: bytes
    parent_hash: bytes

    @property
    def by_number(self) -> str:
        """Return the JSON-RPC argument that names the block by its height."""
        return hex(self.number)

    @property
    def by_hash(self) -> dict[str, object]:
        """Return the JSON-RPC argument that names this very block (EIP-1898). A node refuses it once it is replaced."""
        return {"blockHash": "0x" + self.hash.hex(), "requireCanonical": True}

    @property
    def time(self) -> datetime:
        """Return the block's time, aware UTC."""
        return datetime.fromtimestamp(self.timestamp, UTC)


def header_call(block: str) -> RpcCall:
    """Return the JSON-RPC call that reads a block's header, by tag or number."""
    return RpcCall("eth_getBlockByNumber", (block, False))


def parse_block(answer: object, name: str) -> Block:
    """Return the block in the answer to `header_call`.

    Args:
        answer: The answer.
        name: The name of the requested block, for the error.

    Raises:
        SourceError: If the answer is not a block.
    """
    if isinstance(answer, SourceError):
        raise answer
    header = answer if isinstance(answer, dict) else {}
    number, timestamp = parse_quantity(header.get("number")), parse_quantity(header.get("timestamp"))
    hashes = [parse_data(header.get(key)) for key in ("hash", "parentHash")]
    if isinstance(number, SourceError) or isinstance(timestamp, SourceError):
        raise invalid(f"the node's {name} block has no number or time")
    own, parent = (found if isinstance(found, bytes) and len(found) == _HASH_BYTES else None for found in hashes)
    if own is None or parent is None:
        raise invalid(f"the node's {name} block has no hash or no parent")
    block = Block(number, timestamp, own, parent)
    try:
        _ = block.time
    except (ValueError, OverflowError, OSError):
        raise invalid(f"the node's {name} block has an impossible time") from None
    return block


def is_header_of(block: Block, answer: object) -> bool:
    """Return whether the answer to `header_call` describes this very block."""
    return isinstance(answer, dict) and parse_data(answer.get("hash")) == block.hash


def check_chain(answer: object, chain_id: int) -> None:
    """Check the answer to `CHAIN_ID`.

    Raises:
        SourceError: If the node is on another chain, or did not answer.
    """
    found = parse_quantity(answer)
    if isinstance(found, SourceError):
        raise found
    if found != chain_id:
        raise invalid(f"the node is on chain {found}, not on chain_id {chain_id}")


def check_synced(answer: object) -> None:
    """Check the answer to `SYNCING`. A node that refuses to answer is judged only by the age of its latest block.

    Raises:
        SourceError: If the node does not have all blocks yet, or did not answer.
    """
    if answer is False or (isinstance(answer, RpcError) and answer.reason is FailureReason.REJECTED):
        return
    raise answer if isinstance(answer, SourceError) else invalid("the node is still syncing")


def check_age(latest: Block, max_age_seconds: float, now: datetime) -> None:
    """Check that a node's latest block is recent enough for the node to be following the chain.

    Raises:
        SourceError: If it is not.
    """
    age = (now - latest.time).total_seconds()
    if age > max_age_seconds:
        raise invalid(f"the node's latest block is {age:.0f} s old, max_block_age is {max_age_seconds:g} s")
