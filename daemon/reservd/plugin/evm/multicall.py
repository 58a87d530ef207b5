"""Combines many calls into one through Multicall3 (https://www.multicall3.com), and verifies the block they ran at."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from eth_abi.abi import encode
from eth_hash.auto import keccak

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.aggregate import decode_results
from reservd.plugin.evm.answers import invalid, parse_data
from reservd.plugin.evm.blocks import Block
from reservd.plugin.evm.calls import Function, Outcome, Query, selector
from reservd.plugin.evm.options import BlockTag
from reservd.plugin.evm.rpc import RpcCall

_CODE_HASH = bytes.fromhex("d5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891")
"""Keccak-256 of Multicall3's runtime code, the same on every chain where the published code is deployed."""

_AGGREGATE = selector(Function("aggregate3", ("(address,bool,bytes)[]",)))
_BLOCK_CALLS = tuple(
    selector(Function(name)) for name in ("getBlockNumber", "getCurrentBlockTimestamp", "getLastBlockHash")
)
_WORD_BYTES = 32
_PLANS_KEPT = 16
_READ_ONE_BY_ONE = frozenset({FailureReason.REJECTED, FailureReason.INVALID_DATA})
"""Failures of a Multicall3 call that plain calls may not have: a gas limit, a refusal, a contract that is gone."""

Found = dict[BlockTag, dict[Query, Outcome]]
"""The outcomes at each block."""


class ChunkAnswer(NamedTuple):
    """The result of one call of Multicall3.

    Attributes:
        number: The block's number as contracts see it: on Arbitrum that of the parent chain.
        timestamp: The block's time in Unix seconds.
        parent_hash: The hash of the block before `number`.
        outcomes: What each call returned, or why it cannot be trusted. Failed calls are left out: only a plain call
            shows whether it failed by itself, or because the others had used up the gas.
    """

    number: int
    timestamp: int
    parent_hash: bytes
    outcomes: Mapping[Query, Outcome]


class Chunk:
    """The calls in one call of Multicall3. Its data is encoded once."""

    def __init__(self, multicall: str, inner: Mapping[Query, tuple[str, bytes]]) -> None:
        """Encode the calls.

        Args:
            multicall: The address of Multicall3.
            inner: The contract and the data of each call.
        """
        self.queries = tuple(inner)
        self._multicall = multicall
        # True: a call that fails does not fail the others.
        calls = [(multicall, True, data) for data in _BLOCK_CALLS]
        calls += [(contract, True, data) for contract, data in inner.values()]
        self._data = "0x" + (_AGGREGATE + encode(["(address,bool,bytes)[]"], [calls])).hex()

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that makes all calls at a block."""
        return RpcCall("eth_call", ({"to": self._multicall, "data": self._data}, block))

    def parse(self, answer: object) -> ChunkAnswer | SourceError:
        """Return the results in the answer to `call`."""
        data = parse_data(answer)
        if isinstance(data, SourceError):
            return data
        results = decode_results(data, len(_BLOCK_CALLS) + len(self.queries))
        if results is None:
            return invalid("the answer is not Multicall3's to these calls")
        own, others = results[: len(_BLOCK_CALLS)], results[len(_BLOCK_CALLS) :]
        if any(not done or len(word) != _WORD_BYTES for done, word in own):
            return invalid("Multicall3 did not return its block")
        number, timestamp, parent = (word for _, word in own)
        return ChunkAnswer(
            int.from_bytes(number, "big"),
            int.from_bytes(timestamp, "big"),
            parent,
            {query: query.returned(data) for query, (done, data) in zip(self.queries, others, strict=True) if done},
        )


class Multicall:
    """Multicall3 at one address.

    Attributes:
        code_call: Reads the code at the address.
    """

    def __init__(self, address: str, size: int) -> None:
        """Prepare its use.

        Args:
            address: Its address.
            size: The largest number of calls in one call of it.
        """
        self.code_call = RpcCall("eth_getCode", (address, "latest"))
        self._address = address
        self._size = size
        # Most calls repeat in the next reading, and encoding them takes longer than reading them.
        self.chunks = lru_cache(maxsize=_PLANS_KEPT)(self._plan)

    def is_told_by(self, answer: object) -> bool:
        """Return whether the answer to `code_call` is the code of Multicall3, so that its results can be trusted."""
        code = parse_data(answer)
        return isinstance(code, bytes) and keccak(code) == _CODE_HASH

    def _plan(self, queries: tuple[Query, ...]) -> tuple[Chunk, ...]:
        """Return the calls of Multicall3 for all queries that can be made through it."""
        inner = [(query, call) for query in queries if (call := query.inner_call(self._address)) is not None]
        parts = [inner[start : start + self._size] for start in range(0, len(inner), self._size)]
        return tuple(Chunk(self._address, dict(part)) for part in parts)


def is_surely_of(block: Block, answer: ChunkAnswer) -> bool:
    """Return whether an answer for a tag is from the block that a header call for the same tag named."""
    return (answer.number, answer.timestamp, answer.parent_hash) == (block.number, block.timestamp, block.parent_hash)


def may_be_of(block: Block, answer: ChunkAnswer) -> bool:
    """Return whether an answer can be from the very block that was asked for.

    Number and parent are not compared: contracts on Arbitrum see those of the parent chain.
    """
    return answer.timestamp == block.timestamp


class Harvest(NamedTuple):
    """The combined results of chunks.

    Attributes:
        found: The outcomes at each block, without those that plain calls may still read.
        elsewhere: The chunks whose answer was from another block.
        heard: Whether Multicall3 answered at all.
    """

    found: Found
    elsewhere: list[tuple[BlockTag, Chunk]]
    heard: bool


def collect(
    blocks: Mapping[BlockTag, Block],
    answers: Iterable[tuple[BlockTag, Chunk, object]],
    is_of: Callable[[Block, ChunkAnswer], bool],
) -> Harvest:
    """Combine the answers to chunks.

    Args:
        blocks: The requested blocks.
        answers: For each chunk, the tag it was asked at, the chunk and the answer.
        is_of: Returns whether an answer is from the block.
    """
    found: Found = {tag: {} for tag in blocks}
    elsewhere = []
    heard = False
    for tag, chunk, answer in answers:
        parsed = chunk.parse(answer)
        may_be_gone = isinstance(parsed, SourceError) and parsed.reason in _READ_ONE_BY_ONE
        heard = heard or not may_be_gone
        if isinstance(parsed, SourceError):
            if not may_be_gone:
                found[tag].update(dict.fromkeys(chunk.queries, parsed))
        elif is_of(blocks[tag], parsed):
            found[tag].update(parsed.outcomes)
        else:
            elsewhere.append((tag, chunk))
    return Harvest(found, elsewhere, heard)
