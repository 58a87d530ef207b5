"""The `evm` balance source: native coin and ERC-20 tokens of many accounts, all at one block."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Self

from reservd.plugin import (
    Account,
    AccountFailure,
    Balance,
    BalanceSource,
    FailureReason,
    Reading,
    SourceError,
)
from reservd.plugin.http import HttpClient
from reservd_evm.config import EvmConfig
from reservd_evm.endpoints import Endpoint, EndpointPool, read_preferred
from reservd_evm.heads import NewHeads
from reservd_evm.node import NodeReader
from reservd_evm.plan import ReadingPlan
from reservd_evm.quorum import read_agreed
from reservd_evm.reading import NodeReading
from reservd_evm.rpc import RpcClient
from reservd_evm.units import to_balance


class EvmSource(BalanceSource[EvmConfig]):
    """Reads accounts on one EVM chain, through one endpoint or several."""

    PLUGIN_NAME = "evm"
    Config = EvmConfig
    NON_NEGATIVE: ClassVar[bool] = True

    def __init__(self, name: str, config: EvmConfig) -> None:
        super().__init__(name, config)
        self._http = HttpClient(timeout_seconds=config.seconds_per_endpoint)
        self._plan: ReadingPlan | None = None
        self._pool: EndpointPool | None = None

    async def __aenter__(self) -> Self:
        """Encode what is asked, and open the connection pool."""
        self._plan = await asyncio.to_thread(ReadingPlan.of, self.config)
        await self._http.__aenter__()
        self._pool = self._make_pool(self._plan)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
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
        Return what every account holds of its assets, all at one block.

        Raises:
            SourceError: If no endpoint, or too few for the quorum, can be reached, is on the
                right chain and up to date, and answers from one block; or if they disagree.
        """
        pool, plan = self._pool, self._plan
        if pool is None or plan is None:
            raise SourceError(FailureReason.INTERNAL, "the source is not open")
        if self.config.quorum < len(self.config.endpoints):
            pool.probe_failed()
        if self.config.quorum > 1:
            found = await read_agreed(pool, self.config.quorum, self.config.quorum_max_lag)
        else:
            found = await read_preferred(pool)
        return await asyncio.to_thread(self._reading, found, plan)

    def changes(self) -> AsyncIterator[None] | None:
        """Return a stream that yields once for each new block; None without `ws_url`."""
        if self.config.ws_url is None:
            return None
        return NewHeads(self.name, self.config.ws_url, max_silence=self.config.max_block_age).follow()

    def _make_pool(self, plan: ReadingPlan) -> EndpointPool:
        config = self.config
        endpoints = []
        for number, endpoint in enumerate(config.endpoints, start=1):
            rpc = RpcClient(self._http, endpoint.url, batch_size=config.batch_size, concurrency=config.concurrency)
            endpoints.append(Endpoint(endpoint.name or str(number), NodeReader(rpc, plan)))
        return EndpointPool(
            self.name,
            endpoints,
            seconds_per_endpoint=config.seconds_per_endpoint,
            probe_interval=config.probe_interval,
        )

    def _reading(self, found: NodeReading, plan: ReadingPlan) -> Reading:
        results = [
            to_balance(query, found.believed(query), found.decimals[query.asset], self.config.assets[query.asset].keep)
            for query in plan.queries
        ]
        return Reading(
            balances=[result for result in results if isinstance(result, Balance)],
            failures=[result for result in results if isinstance(result, AccountFailure)],
        )
