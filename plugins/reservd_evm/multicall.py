"""Many balances in one call of Multicall3 (https://www.multicall3.com), with the block they were read at."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_hash.auto import keccak
from eth_utils.abi import function_signature_to_4byte_selector as selector

from reservd.plugin import FailureReason, SourceError
from reservd_evm.answers import Outcome, invalid, parse_data, parse_word
from reservd_evm.blocks import Block
from reservd_evm.config import BlockTag
from reservd_evm.queries import MULTICALL3, Query, contract_call
from reservd_evm.rpc import RpcCall

CODE_CALL = RpcCall("eth_getCode", (MULTICALL3, "latest"))
_CODE_HASH = bytes.fromhex("d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891")
"""Keccak-256 of Multicall3's runtime code, the same on every chain that it was deployed to as published."""

_AGGREGATE = selector("aggregate3((address,bool,bytes)[])")
_BLOCK_CALLS = (
    (MULTICALL3, selector("getBlockNumber()")),
    (MULTICALL3, selector("getCurrentBlockTimestamp()")),
    (MULTICALL3, selector("getLastBlockHash()")),
)
_READ_ONE_BY_ONE = frozenset({FailureReason.REJECTED, FailureReason.INVALID_DATA})
"""How a call of Multicall3 fails that plain calls may survive: over a gas limit, refused, no longer there."""

Found = dict[BlockTag, dict[Query, Outcome]]
"""What was found at each block."""


def is_multicall(answer: object) -> bool:
    """Whether the answer to `CODE_CALL` is the code of Multicall3, so that its word may be taken for balances."""
    code = parse_data(answer)
    return isinstance(code, bytes) and keccak(code) == _CODE_HASH


class ChunkAnswer(NamedTuple):
    """What one call of Multicall3 found.

    Attributes:
        number: The block's number as contracts see it: on Arbitrum that of the chain below.
        timestamp: The block's time in Unix seconds.
        parent_hash: The hash of the block before `number`.
        outcomes: The units of each balance, or why they cannot be believed. A call that failed
            is left out: only a plain call tells whether it was its own doing, or out of the gas
            that others had used up.
    """

    number: int
    timestamp: int
    parent_hash: bytes
    outcomes: Mapping[Query, Outcome]


class Chunk:
    """The balances that one call of Multicall3 reads; its call data is encoded once."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self.queries = queries
        inner = [*_BLOCK_CALLS, *(query.inner_call() for query in queries)]
        # True: a call that fails costs itself only.
        calls = [(target, True, data) for target, data in inner]
        self._data = _AGGREGATE + encode(["(address,bool,bytes)[]"], [calls])

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads the balances at a block."""
        return contract_call(MULTICALL3, self._data, block)

    def parse(self, answer: object) -> ChunkAnswer | SourceError:
        """Return what the answer to `call` says."""
        data = parse_data(answer)
        if isinstance(data, SourceError):
            return data
        try:
            (results,) = decode(["(bool,bytes)[]"], data)
        except (DecodingError, OverflowError):
            return invalid("the answer is not Multicall3's")
        if len(results) != len(_BLOCK_CALLS) + len(self.queries):
            return invalid("Multicall3 answered another number of calls")
        words = (parse_word(data) if success else None for success, data in results)
        number, timestamp, parent, *units = words
        if not (isinstance(number, int) and isinstance(timestamp, int) and isinstance(parent, int)):
            return invalid("Multicall3 did not say its block")
        outcomes = {query: found for query, found in zip(self.queries, units, strict=True) if found is not None}
        return ChunkAnswer(number, timestamp, parent.to_bytes(32, "big"), outcomes)


def plan_chunks(queries: Sequence[Query], size: int) -> list[Chunk]:
    """Return the calls of Multicall3 that read all queries, `size` at most in each."""
    return [Chunk(queries[start : start + size]) for start in range(0, len(queries), size)]


def is_surely_of(block: Block, answer: ChunkAnswer) -> bool:
    """Whether an answer for a tag is of the block that a header call for the same tag named."""
    return (answer.number, answer.timestamp, answer.parent_hash) == (block.number, block.timestamp, block.parent_hash)


def may_be_of(block: Block, answer: ChunkAnswer) -> bool:
    """Whether an answer can be of the very block that was asked for.

    Number and parent are not compared: contracts on Arbitrum see those of the chain below.
    """
    return answer.timestamp == block.timestamp


def collect(
    blocks: Mapping[BlockTag, Block],
    answers: Iterable[tuple[BlockTag, Chunk, object]],
    is_of: Callable[[Block, ChunkAnswer], bool],
) -> tuple[Found, list[tuple[BlockTag, Chunk]]]:
    """Return what the answers to chunks say.

    Args:
        blocks: The blocks that are wanted.
        answers: At which of them was asked, what, and the answer.
        is_of: Whether an answer is of the block.

    Returns:
        The outcomes by block, without those that plain calls may still read; and the chunks
        whose answer was of another block.
    """
    found: Found = {tag: {} for tag in blocks}
    elsewhere = []
    for tag, chunk, answer in answers:
        parsed = chunk.parse(answer)
        if isinstance(parsed, SourceError):
            if parsed.reason not in _READ_ONE_BY_ONE:
                found[tag].update(dict.fromkeys(chunk.queries, parsed))
        elif is_of(blocks[tag], parsed):
            found[tag].update(parsed.outcomes)
        else:
            elsewhere.append((tag, chunk))
    return found, elsewhere
