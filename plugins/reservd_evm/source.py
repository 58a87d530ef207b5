"""The `evm` balance source: native coin and ERC-20 tokens of many accounts, all at one block."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.http import HttpClient
from reservd_evm.answers import Block, Outcome, has_code, invalid, parse_block, parse_data, parse_quantity, parse_word
from reservd_evm.config import MAX_DECIMALS, EvmConfig
from reservd_evm.multicall import Chunk, at_block, at_latest, collect, plan_chunks
from reservd_evm.queries import CHAIN_ID, LATEST_BLOCK, MULTICALL3_CODE, Query, decimals_call, plan_queries
from reservd_evm.rpc import RpcCall, RpcClient
from reservd_evm.units import to_balance

_NATIVE_DECIMALS = 18


class EvmSource(BalanceSource[EvmConfig]):
    """Reads accounts on one EVM chain.

    A reading costs one HTTP request where Multicall3 is, two where it is not, and one more when
    a block came in between; more only when the batch size makes several of one.
    """

    PLUGIN_NAME = "evm"
    Config = EvmConfig
    NON_NEGATIVE: ClassVar[bool] = True

    def __init__(self, name: str, config: EvmConfig) -> None:
        super().__init__(name, config)
        self._queries = plan_queries(config)
        self._chunks: list[Chunk] = []
        self._has_multicall = False
        self._tokens = {asset: options.token for asset, options in config.assets.items() if options.token is not None}
        self._decimals = {
            asset: _NATIVE_DECIMALS if options.decimals is None else options.decimals
            for asset, options in config.assets.items()
            if options.native or options.decimals is not None
        }
        self._http = HttpClient(timeout_seconds=config.timeout)
        self._rpc = RpcClient(self._http, config.rpc_url, config.batch_size)

    async def __aenter__(self) -> Self:
        """Encode what is asked, and open the connection pool."""
        self._chunks = await asyncio.to_thread(plan_chunks, self._queries, self.config.multicall_size)
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection pool."""
        await self._http.__aexit__(None, None, None)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts; their venue is the chain's CAIP-2 name, such as `eip155:1`."""
        venue = f"eip155:{self.config.chain_id}"
        return {
            name: Account(name, venue, account.address, frozenset(self.config.assets_of(name)))
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """
        Return what every account holds of its assets, all at the node's latest block.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain, or
                does not answer from one block.
        """
        lacking = [asset for asset in self._tokens if asset not in self._decimals]
        balances = [chunk.call("latest") for chunk in self._chunks] if self._has_multicall else [MULTICALL3_CODE]
        answers = await self._rpc.call(
            [CHAIN_ID, LATEST_BLOCK, *(decimals_call(self._tokens[asset]) for asset in lacking), *balances]
        )
        self._check_chain(answers[0])
        block = parse_block(answers[1])
        decimals = self._learn_decimals(lacking, answers[2 : -len(balances)])
        found = await self._read_chunks(answers[-len(balances) :], block)
        rest = [query for query in self._queries if query not in found]
        found |= await self._read_directly(rest, block, partial=bool(found))
        return await asyncio.to_thread(self._reading, found, decimals, block)

    def _check_chain(self, answer: object) -> None:
        chain_id = parse_quantity(answer)
        if isinstance(chain_id, SourceError):
            raise chain_id
        if chain_id != self.config.chain_id:
            raise invalid(f"the node is on chain {chain_id}, not on chain_id {self.config.chain_id}")

    def _learn_decimals(self, assets: Sequence[str], answers: Sequence[object]) -> Mapping[str, Outcome]:
        """Return the decimals of every asset. Those that were read are kept, the others asked for again."""
        failed: dict[str, Outcome] = {}
        for asset, answer in zip(assets, answers, strict=True):
            decimals = parse_word(parse_data(answer))
            if isinstance(decimals, SourceError):
                failed[asset] = SourceError(decimals.reason, f"decimals(): {decimals.detail}")
            elif decimals > MAX_DECIMALS:
                failed[asset] = invalid(f"decimals(): must be at most {MAX_DECIMALS}, got {decimals}")
            else:
                self._decimals[asset] = decimals
        return {**self._decimals, **failed}

    async def _read_chunks(self, answers: Sequence[object], block: Block) -> dict[Query, Outcome]:
        """Return what Multicall3 read at the block: nothing where it is not, or would not."""
        found: dict[Query, Outcome] = {}
        if self._has_multicall:
            found, elsewhere = await asyncio.to_thread(collect, self._chunks, answers, at_latest(block))
        else:
            elsewhere = self._chunks if has_code(answers[0]) else []
        if elsewhere:
            calls = [chunk.call(block.tag) for chunk in elsewhere]
            answers = await self._call(calls, partial=bool(found))
            more, elsewhere = await asyncio.to_thread(collect, elsewhere, answers, at_block(block))
            if elsewhere:
                raise invalid(f"the node does not answer from block {block.number}, which it named its latest")
            found |= more
        self._has_multicall = bool(found)
        return found

    async def _read_directly(self, queries: Sequence[Query], block: Block, *, partial: bool) -> dict[Query, Outcome]:
        """Return what plain calls read at the block."""
        if not queries:
            return {}
        answers = await self._call([query.direct_call(block.tag) for query in queries], partial=partial)
        return {query: query.parse_direct(answer) for query, answer in zip(queries, answers, strict=True)}

    async def _call(self, calls: Sequence[RpcCall], *, partial: bool) -> list[object]:
        """Make calls; when a part was read already, a node that fails now costs the rest only."""
        try:
            return await self._rpc.call(calls)
        except SourceError as error:
            if not partial:
                raise
            return [error] * len(calls)

    def _reading(self, found: Mapping[Query, Outcome], decimals: Mapping[str, Outcome], block: Block) -> Reading:
        options = self.config.assets
        results = [
            to_balance(query, found[query], decimals[query.asset], options[query.asset].keep, block)
            for query in self._queries
        ]
        return Reading(
            balances=[result for result in results if isinstance(result, Balance)],
            failures=[result for result in results if isinstance(result, AccountFailure)],
        )
