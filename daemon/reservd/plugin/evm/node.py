"""Reads from one endpoint, with all values of a tag at the same block."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from reservd.errors import SourceError
from reservd.plugin.evm.answers import invalid
from reservd.plugin.evm.blocks import (
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
from reservd.plugin.evm.calls import Outcome, Query
from reservd.plugin.evm.multicall import Chunk, Found, Multicall, collect, is_surely_of, may_be_of
from reservd.plugin.evm.options import BlockTag
from reservd.plugin.evm.pinned import PinnedCalls, Readable
from reservd.plugin.evm.reading import Heads, NodeReading, Step, Work
from reservd.plugin.evm.results import Results
from reservd.plugin.evm.rpc import RpcCall, RpcClient

_TRIES = 3
"""How often a reading is started when a reorganisation removes its block."""

Wanted = Mapping[BlockTag, Sequence[Query]]
"""What to ask at each block."""


class Terms(NamedTuple):
    """The requirements for a node, and how it is asked.

    Attributes:
        chain_id: The chain that it must be on.
        max_block_age: The largest age of its latest block in seconds; above it, the node counts as stalled.
        multicall: Multicall3; None to make each call by itself.
    """

    chain_id: int
    max_block_age: float
    multicall: Multicall | None


class NodeReader:
    """Reads from one endpoint, and remembers what it learnt about it.

    The first step of a reading costs one HTTP request with Multicall3 and two without it. It costs more when the chain
    advances in between, or when the batch size splits a request. Each further step costs one.
    """

    def __init__(self, rpc: RpcClient, terms: Terms) -> None:
        self._rpc = rpc
        self._terms = terms
        self.forget()

    def forget(self) -> None:
        """Forget what was learnt: the next answer may come from another node."""
        self._rpc.forget()
        self._pinned = PinnedCalls(self._rpc)
        self._has_multicall = False
        self._constants: dict[Query, Outcome] = {}

    async def read(self, work: Work) -> NodeReading:
        """Read at the node's own blocks.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain, is not up to date, or does not
                answer from one block.
        """
        for _ in range(_TRIES - 1):
            try:
                return await self._read_once(work)
            except ReorgError:
                continue
        return await self._read_once(work)

    async def fetch_heads(self, tags: Sequence[BlockTag]) -> Heads:
        """Return the blocks that the node names, and learn what `read_at` must know.

        Raises:
            SourceError: As in `read`.
        """
        heads, _ = await self._begin(tags, ())
        return heads

    async def read_at(self, work: Work, blocks: Mapping[BlockTag, Block]) -> NodeReading:
        """Read at these blocks.

        Raises:
            ReorgError: If one of the blocks is not in the node's chain.
            SourceError: As in `read`.
        """
        queries = self._not_known(work.queries)
        found = await self._ask(blocks, dict.fromkeys(blocks, queries))
        return await self._go_on(work.steps, blocks, found)

    async def _read_once(self, work: Work) -> NodeReading:
        tags = work.tags
        queries = self._not_known(work.queries)
        asked = [(tag, chunk) for tag in tags for chunk in await self._chunks(queries)]
        calls = [*(chunk.call(tag) for tag, chunk in asked), *map(header_call, tags)]
        if not asked or not self._rpc.takes_at_once(len(self._opening(tags)) + len(calls)):
            return await self.read_at(work, (await self.fetch_heads(tags)).tagged)
        heads, answers = await self._begin(tags, calls)
        # Only now is it known which block a tag meant: the header was requested before and after the calls, and
        # Multicall3 reports its block.
        blocks = heads.tagged
        again = dict(zip(tags, answers[len(asked) :], strict=True))
        still = {tag for tag in tags if is_header_of(blocks[tag], again[tag])}
        answered = [(tag, chunk, answer) for (tag, chunk), answer in zip(asked, answers, strict=False) if tag in still]
        harvest = await asyncio.to_thread(collect, blocks, answered, is_surely_of)
        elsewhere = harvest.elsewhere + [(tag, chunk) for tag, chunk in asked if tag not in still]
        self._has_multicall = harvest.heard or bool(elsewhere)
        found = await self._complete(blocks, dict.fromkeys(blocks, queries), harvest.found, elsewhere)
        return await self._go_on(work.steps, blocks, found)

    def _opening(self, tags: Sequence[BlockTag]) -> list[RpcCall]:
        """Return the calls that every reading begins with."""
        multicall = self._terms.multicall
        code = [] if multicall is None or self._has_multicall else [multicall.code_call]
        return [CHAIN_ID, SYNCING, *map(header_call, dict.fromkeys(("latest", *tags))), *code]

    async def _begin(self, tags: Sequence[BlockTag], calls: Sequence[RpcCall]) -> tuple[Heads, list[object]]:
        """Return the blocks that the node names, and the answers to more calls of the same batch."""
        opening = self._opening(tags)
        answers = await self._rpc.call([*opening, *calls])
        check_chain(answers[0], self._terms.chain_id)
        check_synced(answers[1])
        named = dict.fromkeys(("latest", *tags))
        blocks = {tag: parse_block(answer, tag) for tag, answer in zip(named, answers[2:], strict=False)}
        check_age(blocks["latest"], self._terms.max_block_age, datetime.now(UTC))
        if self._terms.multicall is not None and not self._has_multicall:
            self._has_multicall = self._terms.multicall.is_told_by(answers[len(opening) - 1])
        return Heads(blocks["latest"], {tag: blocks[tag] for tag in tags}), answers[len(opening) :]

    def _not_known(self, queries: Sequence[Query]) -> tuple[Query, ...]:
        """Return the queries to send. The others are constants that this node has answered before."""
        return tuple(query for query in dict.fromkeys(queries) if query not in self._constants)

    async def _chunks(self, queries: Sequence[Query]) -> tuple[Chunk, ...]:
        multicall = self._terms.multicall
        if multicall is None or not self._has_multicall:
            return ()
        # Separate, so that the repeated queries are the same from the first reading on, and are encoded once.
        constants = tuple(query for query in queries if query.constant)
        others = tuple(query for query in queries if not query.constant)
        return await asyncio.to_thread(lambda: multicall.chunks(constants) + multicall.chunks(others))

    async def _go_on(self, steps: Sequence[Step], blocks: Mapping[BlockTag, Block], found: Found) -> NodeReading:
        """Run the further steps, each with the results of those before it."""
        refusal = None
        results = self._results(blocks, found)
        for step in steps:
            try:
                wanted = await asyncio.to_thread(_next, step, results)
            except SourceError as error:
                refusal = error
                break
            more = await self._ask(blocks, wanted)
            for tag in blocks:
                found[tag].update(more[tag])
            results = self._results(blocks, found)
        return NodeReading(results, refusal)

    def _results(self, blocks: Mapping[BlockTag, Block], found: Found) -> dict[BlockTag, Results]:
        for outcomes in found.values():
            known = {query: outcome for query, outcome in outcomes.items() if query.constant}
            self._constants.update({query: told for query, told in known.items() if not isinstance(told, SourceError)})
        return {tag: Results(block, self._constants | found[tag]) for tag, block in blocks.items()}

    async def _ask(self, blocks: Mapping[BlockTag, Block], wanted: Wanted) -> Found:
        """Return the outcomes of queries, each at its block."""
        chunks = [(tag, chunk) for tag, queries in wanted.items() for chunk in await self._chunks(queries)]
        return await self._complete(blocks, wanted, {tag: {} for tag in blocks}, chunks)

    async def _complete(
        self, blocks: Mapping[BlockTag, Block], wanted: Wanted, found: Found, chunks: Sequence[tuple[BlockTag, Chunk]]
    ) -> Found:
        """Return the outcomes so far, completed by these chunks and, for the rest, by plain calls."""
        if chunks:
            answers = await self._call(blocks, chunks, partial=_holds_any(found))
            answered = [(tag, chunk, answer) for (tag, chunk), answer in zip(chunks, answers, strict=True)]
            harvest = await asyncio.to_thread(collect, blocks, answered, may_be_of)
            if harvest.elsewhere:
                number = blocks[harvest.elsewhere[0][0]].number
                raise invalid(f"the node does not answer from block {number}, which it named itself")
            for tag in blocks:
                found[tag].update(harvest.found[tag])
            self._has_multicall = harvest.heard
        rest = [(tag, query) for tag, queries in wanted.items() for query in queries if query not in found[tag]]
        if rest:
            answers = await self._call(blocks, rest, partial=_holds_any(found))
            for (tag, query), answer in zip(rest, answers, strict=True):
                found[tag][query] = query.parse(answer)
        return found

    async def _call(
        self, blocks: Mapping[BlockTag, Block], work: Sequence[tuple[BlockTag, Readable]], *, partial: bool
    ) -> list[object]:
        """Make calls. If a part was read already, a failure of the node now affects only the rest."""
        try:
            return await self._pinned.call([(blocks[tag], thing) for tag, thing in work])
        except ReorgError:
            raise
        except SourceError as error:
            if not partial:
                raise
            return [error] * len(work)


def _next(step: Step, results: Mapping[BlockTag, Results]) -> dict[BlockTag, list[Query]]:
    """Return what a step asks for at each block that is not known yet."""
    return {tag: found.lacking(step(found)) for tag, found in results.items()}


def _holds_any(found: Found) -> bool:
    return any(found.values())
