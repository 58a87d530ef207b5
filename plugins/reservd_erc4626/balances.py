"""The `erc4626` balance source: what may be withdrawn from vaults right now."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.evm import Call, EvmPlugin, Results, whole_units
from reservd_erc4626.config import Erc4626Account, Erc4626Config
from reservd_erc4626.vaults import MAX_WITHDRAW, asset_calls, decimals, decimals_calls, units


class Erc4626BalanceSource(EvmPlugin[Erc4626Config], BalanceSource[Erc4626Config]):
    """Reads `maxWithdraw` of each account."""

    PLUGIN_NAME = "erc4626"
    Config = Erc4626Config
    NON_NEGATIVE: ClassVar[bool] = True

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
            SourceError: If no endpoint, or too few for the quorum, can be read from.
        """
        accounts = self.config.accounts.values()
        results = await self.client.read(
            [call for account in accounts for call in _opening_calls(account)],
            lambda found: decimals_calls(found, accounts),
        )
        found = [_outcome(name, account, results) for name, account in self.config.accounts.items()]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )


def _opening_calls(account: Erc4626Account) -> Iterator[Call]:
    """Give what can be asked without knowing anything of the vault."""
    yield from asset_calls(account)
    yield MAX_WITHDRAW.on(account.vault, account.holder)


def _outcome(name: str, account: Erc4626Account, results: Results) -> Balance | AccountFailure:
    try:
        payable = units(results, MAX_WITHDRAW.on(account.vault, account.holder))
        amount = whole_units(payable, decimals(results, account))
    except SourceError as error:
        return AccountFailure(name, error.reason, error.detail, asset=account.asset)
    return Balance(name, account.asset, amount, results.block.time, block=results.block.number)
