"""Calls at known blocks: by hash if the node supports it, otherwise by number, which is verified afterwards."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from reservd.errors import FailureReason, SourceError
from reservd.plugin.evm.blocks import Block, ReorgError, header_call, is_header_of
from reservd.plugin.evm.rpc import RpcCall, RpcClient, RpcError


class Readable(Protocol):
    """Something that can be read at any block: one value, or many through Multicall3."""

    def call(self, block: object) -> RpcCall:
        """Return the JSON-RPC call that reads it at a block."""


class PinnedCalls:
    """Makes calls whose answers are from exactly the given block."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc
        self._takes_hashes = True

    async def call(self, work: Sequence[tuple[Block, Readable]]) -> list[object]:
        """Read each item at its block, all at the same time.

        Returns:
            The JSON result of each item, in order, or its `SourceError`.

        Raises:
            ReorgError: If a block is no longer in the node's chain.
            SourceError: If there were no answers.
        """
        if self._takes_hashes:
            answers = await self._rpc.call([thing.call(block.by_hash) for block, thing in work])
            refused = [_is_refused(answer) for answer in answers]
            if any(refused):
                # Nodes report a dropped block in many ways, but the block that now has its number shows it.
                await self._check_canonical(block for block, _ in work)
            if not all(refused):
                return answers
        answers = await self._rpc.call([thing.call(block.by_number) for block, thing in work])
        await self._check_canonical(block for block, _ in work)
        self._takes_hashes = self._takes_hashes and all(map(_is_refused, answers))
        return answers

    async def _check_canonical(self, blocks: Iterable[Block]) -> None:
        distinct = list(dict.fromkeys(blocks))
        answers = await self._rpc.call([header_call(block.by_number) for block in distinct])
        for block, answer in zip(distinct, answers, strict=True):
            if isinstance(answer, SourceError):
                raise answer
            if not is_header_of(block, answer):
                raise ReorgError(block)


def _is_refused(answer: object) -> bool:
    """Return whether the node, not the contract, refused the call."""
    return isinstance(answer, RpcError) and answer.reason is FailureReason.REJECTED and not answer.reverted
