"""The `erc4626` balance source: what can be withdrawn from vaults right now."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.evm import BALANCE_OF, Call, EvmPlugin, Function, Results, whole_units
from reservd_erc4626.config import Erc4626Account, Erc4626Config
from reservd_erc4626.liquidity import Payable, idle_calls, payables
from reservd_erc4626.vaults import CONVERT_TO_ASSETS, MAX_WITHDRAW, asset_calls, decimals, decimals_calls, units

_THE_ASSET = "erc4626:asset"
"""The identity of a vault's asset: there is only one."""
_MAX_REDEEM = Function("maxRedeem", ("address",))
_WITHDRAW = Function("withdraw", ("uint256", "address", "address"))
_COUNTED = "the vault cannot pay more: the rest is counted for an account before it"
_NOT_ALL = "the vault does not pay for all of the shares now"


class Erc4626BalanceSource(EvmPlugin[Erc4626Config], BalanceSource[Erc4626Config]):
    """Reads `maxWithdraw` of each account, and simulates the withdrawal."""

    PLUGIN_NAME = "erc4626"
    Config = Erc4626Config
    NON_NEGATIVE: ClassVar[bool] = True

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts. Their address joins vault and holder: the holder's wallet is different money.

        A vault has one asset, which is the same under any name.
        """
        return {
            name: Account(
                name,
                self.config.venue,
                f"{account.vault}/{account.holder}",
                frozenset({account.asset}),
                {account.asset: _THE_ASSET},
            )
            for name, account in self.config.accounts.items()
        }

    @property
    def pots(self) -> Mapping[str, Sequence[str]]:
        """Return what each vault can pay, unless it pays each holder whatever the others withdraw."""
        config = self.config
        return {
            f"what vault {vault} of {config.venue} can pay": names
            for vault, names in config.holders.items()
            if config.liquidity.get(vault) != "each"
        }

    async def fetch_balances(self) -> Reading:
        """Return what each holder can withdraw, all at one block.

        Raises:
            SourceError: If no endpoint, or too few for the quorum, can be read from.
        """
        config = self.config

        def token_calls(found: Results) -> Iterator[Call]:
            yield from decimals_calls(found, config.accounts.values())
            yield from idle_calls(config, found)

        def last_calls(found: Results) -> Iterator[Call]:
            for account in config.accounts.values():
                yield from _worth_calls(account, found)
            for name, share in payables(config, found).items():
                if share and not isinstance(share, SourceError):
                    yield _withdraw_call(config.accounts[name], share)

        opening = [call for account in config.accounts.values() for call in _opening_calls(account)]
        results = await self.client.read(opening, token_calls, last_calls)
        shares = payables(config, results)
        found = [_outcome(name, account, results, shares[name]) for name, account in config.accounts.items()]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )


def _opening_calls(account: Erc4626Account) -> Iterator[Call]:
    """Yield the calls that need no previous results."""
    yield from asset_calls(account)
    yield MAX_WITHDRAW.on(account.vault, account.holder)
    yield from _shares_calls(account)


def _shares_calls(account: Erc4626Account) -> Iterator[Call]:
    """Yield the calls for the shares that the vault pays for now, and for all shares of the holder."""
    yield _MAX_REDEEM.on(account.vault, account.holder)
    yield BALANCE_OF.on(account.vault, account.holder)


def _worth_calls(account: Erc4626Account, results: Results) -> Iterator[Call]:
    """Yield the call for the worth of all shares, if the vault does not pay for all of them."""
    with suppress(SourceError):  # for instance if the vault's shares are a separate token
        redeemable, held = (results.number(call) for call in _shares_calls(account))
        if redeemable < held:
            yield CONVERT_TO_ASSETS.on(account.vault, held)


def _withdraw_call(account: Erc4626Account, share: int) -> Call:
    """Return the withdrawal itself, for a node to simulate: `maxWithdraw` of many vaults leaves out a rule.

    For shares that must cool down first, for example, it returns their worth.
    """
    holder = account.holder
    return _WITHDRAW.on(account.vault, share, holder, holder, sender=holder)


def _outcome(name: str, account: Erc4626Account, results: Results, share: Payable) -> Balance | AccountFailure:
    try:
        if isinstance(share, SourceError):
            raise share
        if share:
            results.values(_withdraw_call(account, share))
        places = decimals(results, account)
        amount = whole_units(share, places)
        # An amount that the vault reported to this holder but that counts for another.
        told = units(results, MAX_WITHDRAW.on(account.vault, account.holder))
        all_told = _tells_all(results, account, told)
        locked = whole_units(told - share, places) if all_told else None
    except SourceError as error:
        return AccountFailure(name, error.reason, error.detail, asset=account.asset)
    note = _COUNTED if share < told else _NOT_ALL if all_told is False else ""
    block = results.block
    return Balance(name, account.asset, amount, block.time, locked=locked, block=block.number, note=note)


def _tells_all(results: Results, account: Erc4626Account, told: int) -> bool | None:
    """Whether the vault pays for all shares now; None if that is unknown. The payable amount does not depend on it.

    If it computes the shares from the assets, rounding leaves a few that are worth no unit of the token.
    """
    try:
        redeemable, held = (results.number(call) for call in _shares_calls(account))
        return redeemable >= held or results.number(CONVERT_TO_ASSETS.on(account.vault, held)) <= told + 1
    except SourceError:
        return None
