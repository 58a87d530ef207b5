"""Reads balances from one endpoint, all from one block of each kind."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from reservd.plugin import SourceError
from reservd_evm.answers import Outcome, invalid, parse_data, parse_word
from reservd_evm.blocks import (
    CHAIN_ID,
    SYNCING,
    Block,
    ReorgError,
    check_age,
    check_chain,
    check_synced,
    header_call,
    is_header_of,
    parse_block,
)
from reservd_evm.config import MAX_DECIMALS, BlockTag
from reservd_evm.multicall import CODE_CALL, Chunk, Found, collect, is_multicall, is_surely_of, may_be_of
from reservd_evm.pinned import PinnedCalls, Readable
from reservd_evm.plan import ReadingPlan
from reservd_evm.queries import decimals_call
from reservd_evm.reading import Heads, NodeReading
from reservd_evm.rpc import RpcCall, RpcClient

_TRIES = 3
"""How often a reading is begun because a reorganisation took its block away."""


class NodeReader:
    """Reads from one endpoint, and remembers what it learnt of it.

    A reading costs one HTTP request where Multicall3 is, two where it is not; more when the chain
    moves in between, or when the batch size makes several requests of one.
    """

    def __init__(self, rpc: RpcClient, plan: ReadingPlan) -> None:
        self._rpc = rpc
        self._plan = plan
        self.forget()

    def forget(self) -> None:
        """Find everything out anew: what answers next may be another node."""
        self._rpc.forget()
        self._pinned = PinnedCalls(self._rpc)
        self._has_multicall = False
        self._decimals: dict[str, Outcome] = dict(self._plan.decimals)

    async def read(self) -> NodeReading:
        """
        Return all balances at the node's own blocks.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain, is not
                up to date, or does not answer from one block.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self._read_once()
            except ReorgError:
                continue
        return await self._read_once()

    async def fetch_heads(self) -> Heads:
        """
        Return the blocks that the node names, and learn what `read_at` must know.

        Raises:
            SourceError: As `read` does.
        """
        heads, _ = await self._begin(())
        return heads

    async def read_at(self, blocks: Mapping[BlockTag, Block]) -> NodeReading:
        """
        Return all balances at these blocks.

        Raises:
            ReorgError: If one of the blocks is not in the node's chain.
            SourceError: As `read` does.
        """
        chunks = self._plan.chunks if self._has_multicall else ()
        return await self._complete(
            blocks, {tag: {} for tag in blocks}, [(tag, one) for tag in blocks for one in chunks]
        )

    async def _read_once(self) -> NodeReading:
        tags = self._plan.tags
        asked = [(tag, chunk) for tag in tags for chunk in self._plan.chunks]
        calls = [*(chunk.call(tag) for tag, chunk in asked), *map(header_call, tags)]
        if not self._has_multicall or not self._rpc.takes_at_once(len(self._opening()) + len(calls)):
            return await self.read_at((await self.fetch_heads()).tagged)
        heads, answers = await self._begin(calls)
        # What a tag stood for is known only now: the header was asked for before and after the
        # balances, and Multicall3 says which block it saw.
        blocks = heads.tagged
        again = dict(zip(tags, answers[len(asked) :], strict=True))
        still = {tag for tag in tags if is_header_of(blocks[tag], again[tag])}
        answered = [(tag, chunk, answer) for (tag, chunk), answer in zip(asked, answers, strict=False) if tag in still]
        found, elsewhere = await asyncio.to_thread(collect, blocks, answered, is_surely_of)
        return await self._complete(blocks, found, elsewhere + [(tag, one) for tag, one in asked if tag not in still])

    def _opening(self) -> list[RpcCall]:
        """Return the calls that every reading begins with."""
        headers = [header_call(tag) for tag in dict.fromkeys(("latest", *self._plan.tags))]
        unknown = [decimals_call(self._plan.tokens[asset]) for asset in self._lacking()]
        return [CHAIN_ID, SYNCING, *headers, *unknown, *([] if self._has_multicall else [CODE_CALL])]

    async def _begin(self, calls: Sequence[RpcCall]) -> tuple[Heads, list[object]]:
        """Return the blocks that the node names, and the answers to more calls of the same batch."""
        opening, lacking = self._opening(), self._lacking()
        answers = await self._rpc.call([*opening, *calls])
        check_chain(answers[0], self._plan.chain_id)
        check_synced(answers[1])
        rest = iter(answers[2:])
        blocks = {tag: parse_block(next(rest), tag) for tag in dict.fromkeys(("latest", *self._plan.tags))}
        check_age(blocks["latest"], self._plan.max_block_age, datetime.now(UTC))
        self._decimals.update({asset: _parse_decimals(next(rest)) for asset in lacking})
        if not self._has_multicall:
            self._has_multicall = is_multicall(next(rest))
        return Heads(blocks["latest"], {tag: blocks[tag] for tag in self._plan.tags}), answers[len(opening) :]

    def _lacking(self) -> list[str]:
        """Return the tokens whose decimals are not known yet, or could not be read before."""
        return [asset for asset in self._plan.tokens if not isinstance(self._decimals.get(asset), int)]

    async def _complete(
        self, blocks: Mapping[BlockTag, Block], found: Found, chunks: Sequence[tuple[BlockTag, Chunk]]
    ) -> NodeReading:
        """Return what was found, together with what these chunks and, for the rest, plain calls find."""
        if chunks:
            answers = await self._call(blocks, chunks, partial=_holds_any(found))
            answered = [(tag, chunk, answer) for (tag, chunk), answer in zip(chunks, answers, strict=True)]
            more, elsewhere = await asyncio.to_thread(collect, blocks, answered, may_be_of)
            if elsewhere:
                number = blocks[elsewhere[0][0]].number
                raise invalid(f"the node does not answer from block {number}, which it named itself")
            for tag in blocks:
                found[tag].update(more[tag])
        self._has_multicall = _holds_any(found)
        rest = [(tag, query) for tag in blocks for query in self._plan.queries if query not in found[tag]]
        if rest:
            answers = await self._call(blocks, rest, partial=_holds_any(found))
            for (tag, query), answer in zip(rest, answers, strict=True):
                found[tag][query] = query.parse(answer)
        return NodeReading(blocks, found, dict(self._decimals))

    async def _call(
        self, blocks: Mapping[BlockTag, Block], work: Sequence[tuple[BlockTag, Readable]], *, partial: bool
    ) -> list[object]:
        """Make calls; when a part was read already, a node that fails now costs the rest only."""
        try:
            return await self._pinned.call([(blocks[tag], thing) for tag, thing in work])
        except ReorgError:
            raise
        except SourceError as error:
            if not partial:
                raise
            return [error] * len(work)


def _holds_any(found: Found) -> bool:
    return any(found.values())


def _parse_decimals(answer: object) -> Outcome:
    decimals = parse_word(parse_data(answer))
    if isinstance(decimals, SourceError):
        return SourceError(decimals.reason, f"decimals(): {decimals.detail}")
    if decimals > MAX_DECIMALS:
        return invalid(f"decimals(): must be at most {MAX_DECIMALS}, got {decimals}")
    return decimals
