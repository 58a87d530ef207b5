"""Many balances in one call of Multicall3 (https://www.multicall3.com), with the block they were read at."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.abi import function_signature_to_4byte_selector as selector

from reservd.plugin import FailureReason, SourceError
from reservd_evm.answers import Block, Outcome, invalid, parse_data, parse_word
from reservd_evm.queries import MULTICALL3, Query, contract_call
from reservd_evm.rpc import RpcCall

_AGGREGATE = selector("aggregate3((address,bool,bytes)[])")
_BLOCK_CALLS = (
    (MULTICALL3, selector("getBlockNumber()")),
    (MULTICALL3, selector("getCurrentBlockTimestamp()")),
)
_READ_ONE_BY_ONE = frozenset({FailureReason.REJECTED, FailureReason.INVALID_DATA})
"""How a call of Multicall3 fails that plain calls may survive: over a gas limit, refused, no longer there."""


class ChunkAnswer(NamedTuple):
    """What one call of Multicall3 found.

    Attributes:
        number: The block's number as contracts see it: on Arbitrum that of the chain below.
        timestamp: The block's time in Unix seconds.
        outcomes: The units of each balance, or why they cannot be believed. A call that failed
            is left out: only a plain call tells whether it was its own doing, or out of the gas
            that others had used up.
    """

    number: int
    timestamp: int
    outcomes: Mapping[Query, Outcome]


class Chunk:
    """The balances that one call of Multicall3 reads; its call data is encoded once."""

    def __init__(self, queries: Sequence[Query]) -> None:
        self.queries = queries
        inner = [*_BLOCK_CALLS, *(query.inner_call() for query in queries)]
        # True: a call that fails costs itself only.
        calls = [(target, True, data) for target, data in inner]
        self._data = _AGGREGATE + encode(["(address,bool,bytes)[]"], [calls])

    def call(self, block: str) -> RpcCall:
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
        number, timestamp, *units = (parse_word(data) if success else None for success, data in results)
        if not isinstance(number, int) or not isinstance(timestamp, int):
            return invalid("Multicall3 did not say its block")
        outcomes = {query: found for query, found in zip(self.queries, units, strict=True) if found is not None}
        return ChunkAnswer(number, timestamp, outcomes)


def plan_chunks(queries: Sequence[Query], size: int) -> list[Chunk]:
    """Return the calls of Multicall3 that read all queries, `size` at most in each."""
    return [Chunk(queries[start : start + size]) for start in range(0, len(queries), size)]


def at_latest(block: Block) -> Callable[[ChunkAnswer], bool]:
    """Return whether an answer for the latest block is for sure of `block`."""
    return lambda answer: (answer.number, answer.timestamp) == block


def at_block(block: Block) -> Callable[[ChunkAnswer], bool]:
    """Return whether an answer is of `block`, which was asked for by its number.

    The number that contracts see is not compared: on Arbitrum it is that of the chain below.
    """
    return lambda answer: answer.timestamp == block.timestamp


def collect(
    chunks: Sequence[Chunk], answers: Sequence[object], is_right: Callable[[ChunkAnswer], bool]
) -> tuple[dict[Query, Outcome], list[Chunk]]:
    """Return what the answers to chunks say.

    Args:
        chunks: What was asked.
        answers: The answers in the same order.
        is_right: Whether an answer is of the block that is wanted.

    Returns:
        The outcomes, without those that plain calls may still read; and the chunks whose
        answer was of another block.
    """
    found: dict[Query, Outcome] = {}
    elsewhere = []
    for chunk, answer in zip(chunks, answers, strict=True):
        parsed = chunk.parse(answer)
        if isinstance(parsed, SourceError):
            if parsed.reason not in _READ_ONE_BY_ONE:
                found.update(dict.fromkeys(chunk.queries, parsed))
        elif is_right(parsed):
            found.update(parsed.outcomes)
        else:
            elsewhere.append(chunk)
    return found, elsewhere
