"""Requires several endpoints to return the same answers at the same block."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from reservd.errors import SourceError
from reservd.plugin.evm.answers import invalid
from reservd.plugin.evm.blocks import Block, ReorgError
from reservd.plugin.evm.calls import ContractError, Outcome, Query
from reservd.plugin.evm.endpoints import Endpoint, EndpointPool, summarize
from reservd.plugin.evm.node import NodeReader
from reservd.plugin.evm.options import BlockTag
from reservd.plugin.evm.reading import Heads, NodeReading, Work
from reservd.plugin.evm.results import Results

T = TypeVar("T")

_TRIES = 3
"""How often a vote is started when endpoints have different blocks with one number."""


class _VotersFailedError(Exception):
    """Endpoints that cannot vote. With others in their place, the vote may succeed."""

    def __init__(self, failures: Mapping[Endpoint, SourceError]) -> None:
        super().__init__()
        self.failures = failures


async def read_agreed(pool: EndpointPool, work: Work, quorum: int, max_lag: int) -> NodeReading:
    """Return what `quorum` endpoints agree on, at the lowest of their blocks.

    Args:
        pool: The endpoints. One that fails is replaced by the next.
        work: What to ask them for.
        quorum: How many must agree.
        max_lag: How many blocks an endpoint may be behind the foremost.

    Raises:
        SourceError: If too few endpoints answer, or they disagree.
    """
    excluded: dict[Endpoint, SourceError] = {}
    partial: NodeReading | None = None
    while True:
        voters = [endpoint for endpoint in pool.ranked() if endpoint not in excluded][:quorum]
        if len(voters) < quorum:
            if partial is not None:
                return partial
            raise summarize({endpoint.label: failure for endpoint, failure in excluded.items()})
        try:
            readings = await _vote(pool, work, voters, max_lag)
        except _VotersFailedError as failed:
            excluded |= failed.failures
            continue
        reading = await asyncio.to_thread(_agreed, readings, _names(voters))
        lacking = {voter: found.failure for voter, found in zip(voters, readings, strict=True) if found.failure}
        if not lacking:
            pool.serve_from(voters)
            return reading
        for voter, failure in lacking.items():
            pool.put_last(voter, failure)
        excluded |= lacking
        partial = partial or reading


async def _vote(pool: EndpointPool, work: Work, voters: Sequence[Endpoint], max_lag: int) -> list[NodeReading]:
    """Return what each endpoint reads at the blocks that all of them have.

    Raises:
        _VotersFailedError: If some fail.
        SourceError: If they disagree on which block has a number.
    """
    deadline = pool.deadline()
    for _ in range(_TRIES):
        heads = await _ask_all(pool, voters, lambda reader: reader.fetch_heads(work.tags), deadline)
        blocks = _common_blocks(pool, heads, max_lag)
        try:
            return await _read_all(pool, work, voters, blocks, deadline)
        except ReorgError as error:
            replaced = error
    raise invalid(f"the endpoints {_names(voters)} do not have the same block {replaced.number}")


async def _read_all(
    pool: EndpointPool,
    work: Work,
    voters: Sequence[Endpoint],
    blocks: Mapping[BlockTag, Block],
    deadline: float,
) -> list[NodeReading]:
    return list((await _ask_all(pool, voters, lambda reader: reader.read_at(work, blocks), deadline)).values())


async def _ask_all(
    pool: EndpointPool, voters: Sequence[Endpoint], call: Callable[[NodeReader], Awaitable[T]], deadline: float
) -> dict[Endpoint, T]:
    async def ask(voter: Endpoint) -> T | SourceError:
        try:
            return await pool.ask(voter, call, deadline)
        except SourceError as error:
            return error

    answers = dict(zip(voters, await asyncio.gather(*map(ask, voters)), strict=True))
    failures = {voter: answer for voter, answer in answers.items() if isinstance(answer, SourceError)}
    real = {voter: failure for voter, failure in failures.items() if not isinstance(failure, ReorgError)}
    if real:
        raise _VotersFailedError(real)
    if failures:
        raise next(iter(failures.values()))
    return {voter: answer for voter, answer in answers.items() if not isinstance(answer, SourceError)}


def _common_blocks(pool: EndpointPool, heads: Mapping[Endpoint, Heads], max_lag: int) -> dict[BlockTag, Block]:
    """Return the newest block of each tag that all endpoints have reached."""
    foremost = max(head.latest.number for head in heads.values())
    late = {
        voter: invalid(f"the node is {foremost - head.latest.number} blocks behind, quorum_max_lag is {max_lag}")
        for voter, head in heads.items()
        if foremost - head.latest.number > max_lag
    }
    if late:
        for voter, failure in late.items():
            pool.put_last(voter, failure)
        raise _VotersFailedError(late)
    first, *_ = heads.values()
    return {
        tag: min((head.tagged[tag] for head in heads.values()), key=lambda block: block.number) for tag in first.tagged
    }


def _names(voters: Sequence[Endpoint]) -> str:
    return ", ".join(voter.label for voter in voters)


def _agreed(readings: Sequence[NodeReading], names: str) -> NodeReading:
    """Return what all readings agree on. A refusal by a step is in all of them, because they found the same values."""
    first = readings[0]
    results = {tag: _common([reading.results[tag] for reading in readings], names) for tag in first.results}
    return NodeReading(results, next((reading.refusal for reading in readings if reading.refusal), None))


def _common(several: Sequence[Results], names: str) -> Results:
    """Return the queries that all made. A query of only one depends on a value that is missing in another."""
    first, *others = several
    outcomes = {
        query: _same([outcome, *(other.outcome(query) for other in others)], query, names)
        for query, outcome in first.items()
        if not any(other.lacking([query]) for other in others)
    }
    return Results(first.block, outcomes)


def _same(outcomes: Sequence[Outcome], query: Query, names: str) -> Outcome:
    """Return the outcome that all agree on; a failure if one has none.

    Raises:
        SourceError: If they disagree.
    """
    failures = [outcome for outcome in outcomes if isinstance(outcome, SourceError)]
    if len({outcome for outcome in outcomes if not isinstance(outcome, SourceError)}) > 1:
        raise invalid(f"the endpoints {names} disagree: {query}")
    if not failures:
        return outcomes[0]
    if all(isinstance(outcome, ContractError) for outcome in outcomes):
        return failures[0]
    # If only one node says that the contract reverted, the node is not trusted in this.
    own = next((failure for failure in failures if not isinstance(failure, ContractError)), failures[0])
    return SourceError(own.reason, own.detail)
