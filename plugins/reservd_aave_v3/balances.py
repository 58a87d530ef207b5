"""The `aave_v3` balance source: what may be withdrawn from a pool right now."""

from collections.abc import Mapping
from typing import ClassVar, Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.evm import EvmClient, Results, whole_units
from reservd_aave_v3.config import AaveV3Config
from reservd_aave_v3.payable import Survey


class AaveV3BalanceSource(BalanceSource[AaveV3Config]):
    """Reads what each account may withdraw of each reserve.

    A reading costs four HTTP requests where Multicall3 is, one more where an account has debt, and one
    more where the pool is older than v3.1.
    """

    PLUGIN_NAME = "aave_v3"
    Config = AaveV3Config
    NON_NEGATIVE: ClassVar[bool] = True

    def __init__(self, name: str, config: AaveV3Config) -> None:
        super().__init__(name, config)
        self._client = EvmClient(config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection pool."""
        await self._client.__aexit__(None, None, None)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts. Their address is the pool's and the holder's: the holder's wallet is other money."""
        config, assets = self.config, frozenset(self.config.reserves)
        return {
            name: Account(name, config.venue, f"{config.pool}/{address}", assets)
            for name, address in config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """
        Return what each account may withdraw of each reserve, all at one block.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain or still
                syncing, or does not answer from one block.
        """
        survey = Survey(self.config)
        results = await self._client.read(survey.opening_calls())
        for step in survey.state_calls, survey.price_calls, survey.withdraw_calls:
            results = await self._client.read(step(results), results)
        found = [
            _outcome(survey, results, account, asset)
            for account in self.config.accounts
            for asset in self.config.reserves
        ]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )


def _outcome(survey: Survey, results: Results, account: str, asset: str) -> Balance | AccountFailure:
    try:
        payable = survey.payable(results, account, asset)
        amount = whole_units(payable.units, payable.decimals)
        locked = whole_units(payable.supplied - payable.units, payable.decimals)
    except SourceError as error:
        return AccountFailure(account, error.reason, error.detail, asset=asset)
    return Balance(account, asset, amount, results.block.time, locked=locked, block=results.block.number)
