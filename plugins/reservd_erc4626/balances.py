"""The `erc4626` balance source: what may be withdrawn from vaults right now."""

from collections.abc import Mapping
from typing import ClassVar, Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.evm import EvmClient, Results, whole_units
from reservd_erc4626.config import Erc4626Account, Erc4626Config
from reservd_erc4626.vaults import MAX_WITHDRAW, asset_calls, decimals, decimals_calls, units


class Erc4626BalanceSource(BalanceSource[Erc4626Config]):
    """Reads `maxWithdraw` of each account.

    A reading costs two HTTP requests, and a third where an account leaves out `token`.
    """

    PLUGIN_NAME = "erc4626"
    Config = Erc4626Config
    NON_NEGATIVE: ClassVar[bool] = True

    def __init__(self, name: str, config: Erc4626Config) -> None:
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
        """Return the accounts. Their address is the vault's and the holder's: the holder's wallet is other money."""
        return {
            name: Account(name, self.config.venue, f"{account.vault}/{account.holder}", frozenset({account.asset}))
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """
        Return what each holder may withdraw, all at one block.

        Raises:
            SourceError: If the node cannot be reached, refuses, is on another chain or still
                syncing, or does not answer from one block.
        """
        accounts = self.config.accounts.values()
        calls = [
            call
            for account in accounts
            for call in (*asset_calls(account), MAX_WITHDRAW.on(account.vault, account.holder))
        ]
        results = await self._client.read(calls)
        results = await self._client.read(decimals_calls(results, accounts), results)
        found = [_outcome(name, account, results) for name, account in self.config.accounts.items()]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )


def _outcome(name: str, account: Erc4626Account, results: Results) -> Balance | AccountFailure:
    try:
        payable = units(results, MAX_WITHDRAW.on(account.vault, account.holder))
        amount = whole_units(payable, decimals(results, account))
    except SourceError as error:
        return AccountFailure(name, error.reason, error.detail, asset=account.asset)
    return Balance(name, account.asset, amount, results.block.time, block=results.block.number)
