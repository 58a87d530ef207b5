"""The `evm` balance source: native coin and ERC-20 tokens of many accounts, all at one block."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading
from reservd.plugin.evm import BlockTag, Call, Ether, EvmPlugin, Results
from reservd_evm.config import EvmBalanceConfig
from reservd_evm.heads import NewHeads
from reservd_evm.plan import Holding, plan_holdings, plan_queries
from reservd_evm.units import to_outcome
from reservd_evm.wakes import Wakes


class EvmSource(EvmPlugin[EvmBalanceConfig], BalanceSource[EvmBalanceConfig]):
    """Reads accounts on one EVM chain, through one endpoint or several."""

    PLUGIN_NAME = "evm"
    Config = EvmBalanceConfig
    NON_NEGATIVE: ClassVar[bool] = True

    def __init__(self, name: str, config: EvmBalanceConfig) -> None:
        super().__init__(name, config)
        self._holdings: tuple[Holding, ...] = ()
        self._queries: tuple[Call | Ether, ...] = ()
        self._wakes: Wakes | None = None

    async def __aenter__(self) -> Self:
        """Encode the calls, and open the connection pool."""
        self._holdings = await asyncio.to_thread(plan_holdings, self.config)
        self._queries = plan_queries(self._holdings)
        return await super().__aenter__()

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts; their venue is the chain's CAIP-2 name, such as `eip155:1`, tokens go by address."""
        config = self.config
        identities = {name: asset.identity for name, asset in config.assets.items()}
        return {
            name: Account(name, config.venue, account.address, assets, {asset: identities[asset] for asset in assets})
            for name, account in config.accounts.items()
            for assets in [frozenset(config.assets_of(name))]
        }

    async def fetch_balances(self) -> Reading:
        """Return the balances of all accounts, all at one block.

        Raises:
            SourceError: If no endpoint, or too few for the quorum, can be reached, is on the
                right chain and up to date, and answers from one block; or if they disagree.
        """
        results = await self.client.read_at(self.config.tags, self._queries)
        if self._wakes is not None and "latest" in results:
            self._wakes.was_read(results["latest"].block.number)
        return await asyncio.to_thread(self._reading, results)

    def changes(self) -> AsyncIterator[None] | None:
        """Yield at each new block, and again if it was read too early; None without `ws_url`."""
        if self.config.ws_url is None:
            return None
        self._wakes = Wakes(NewHeads(self.name, self.config.ws_url, max_silence=self.config.max_block_age))
        return self._wakes.follow()

    @property
    def seconds_between_changes(self) -> float:
        """Return `wake_interval`: reading each block of a chain with four a second would use up a provider's quota."""
        return self.config.wake_interval

    def _reading(self, results: Mapping[BlockTag, Results]) -> Reading:
        assets = self.config.assets
        found = [to_outcome(holding, results, assets[holding.asset].keep) for holding in self._holdings]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )
