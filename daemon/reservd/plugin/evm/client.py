"""Makes calls through one node, all at one block."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.calls import Block, Call, Function, Outcome, Results, invalid
from reservd.plugin.evm.options import EvmConfig
from reservd.plugin.evm.rpc import JsonRpc, RpcCall
from reservd.plugin.http import HttpClient

_AGGREGATE = Function("aggregate3", ("(address,bool,bytes)[]",), ("(bool,bytes)[]",))
_BLOCK_TIME = Function("getCurrentBlockTimestamp")
_MAY_FAIL = True
"""A call that fails costs itself only."""
_CHUNK = 100
"""Calls in one aggregate, so that its gas stays below the limits of providers."""
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")


class EvmClient:
    """Reads contracts through one node; used as an async context manager."""

    def __init__(self, config: EvmConfig) -> None:
        self._config = config
        self._http = HttpClient(timeout_seconds=config.timeout)
        self._rpc = JsonRpc(self._http, config.rpc_url)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def read(self, calls: Iterable[Call], after: Results | None = None) -> Results:
        """Make all calls at one block.

        Args:
            calls: What to call; equal calls count once.
            after: What was read before, for calls that depend on it: the new ones are made at
                its block, and what it holds stays.

        Returns:
            The outcome of each call, failed ones included.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain or still
                syncing, or does not answer from the block.
        """
        block = after.block if after else await self._fetch_block()
        outcomes = dict(after.outcomes) if after else {}
        wanted = [call for call in dict.fromkeys(calls) if call not in outcomes]
        outcomes |= await self._aggregate([call for call in wanted if call.sender is None], block)
        # Those that failed in an aggregate too: only by itself does a call tell whether the
        # failure was its own, or whether the others had used up the gas.
        rest = [call for call in wanted if call not in outcomes]
        answers = await self._rpc.call([call.at(block) for call in rest])
        outcomes |= {call: call.answered(answer) for call, answer in zip(rest, answers, strict=True)}
        return Results(block, outcomes)

    async def _fetch_block(self) -> Block:
        tag = self._config.block
        calls = [RpcCall("eth_chainId"), RpcCall("eth_syncing"), RpcCall("eth_getBlockByNumber", (tag, False))]
        chain_id, syncing, header = await self._rpc.call(calls)
        if (number := _quantity(chain_id)) != self._config.chain_id:
            raise invalid(f"the node is on chain {number}, not on chain_id {self._config.chain_id}")
        if isinstance(syncing, dict):
            raise SourceError(FailureReason.REJECTED, "the node is still syncing")
        if isinstance(header, SourceError):
            raise header
        if not isinstance(header, dict):
            raise invalid(f"the node has no {tag} block")
        number, timestamp = _quantity(header.get("number")), _quantity(header.get("timestamp"))
        try:
            return Block(number, datetime.fromtimestamp(timestamp, UTC))
        except (ValueError, OverflowError, OSError):
            raise invalid("the block has an impossible time") from None

    async def _aggregate(self, calls: Sequence[Call], block: Block) -> dict[Call, Outcome]:
        """Return what calls returned through Multicall3; those that failed are left out."""
        multicall = self._config.multicall
        if multicall is None:
            return {}
        time = _BLOCK_TIME.on(multicall)
        chunks = [[time, *calls[start : start + _CHUNK]] for start in range(0, len(calls), _CHUNK)]
        aggregates = [_AGGREGATE.on(multicall, [(c.contract, _MAY_FAIL, c.data) for c in chunk]) for chunk in chunks]
        answers = await self._rpc.call([aggregate.at(block) for aggregate in aggregates])
        outcomes: dict[Call, Outcome] = {}
        for chunk, aggregate, answer in zip(chunks, aggregates, answers, strict=True):
            outcome = aggregate.answered(answer)
            if isinstance(outcome, SourceError):
                if outcome.reason is FailureReason.RATE_LIMITED:
                    raise outcome
                continue
            (results,) = outcome
            # Multicall3 answers every call, so what is cut short by fewer answers is called once more.
            found = {call: call.returned(data) for call, (done, data) in zip(chunk, results, strict=False) if done}
            if found.pop(time, None) != (int(block.time.timestamp()),):
                raise invalid(f"the node does not answer from block {block.number}, which it named itself")
            outcomes |= found
        return outcomes


def _quantity(answer: object) -> int:
    """Return the number of a JSON-RPC quantity such as `0x1b4`; anything else is raised."""
    if isinstance(answer, SourceError):
        raise answer
    if not isinstance(answer, str) or _QUANTITY.fullmatch(answer) is None:
        raise invalid("the node's answer is not a number")
    return int(answer, 16)
