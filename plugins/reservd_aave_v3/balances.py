"""The `aave_v3` balance source: what can be withdrawn from a pool right now."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, Reading, SourceError
from reservd.plugin.evm import Block, EvmPlugin, token_id, whole_units
from reservd_aave_v3.config import AaveV3Config
from reservd_aave_v3.payable import Payable, Place, Survey


class AaveV3BalanceSource(EvmPlugin[AaveV3Config], BalanceSource[AaveV3Config]):
    """Reads what each account can withdraw from each reserve."""

    PLUGIN_NAME = "aave_v3"
    Config = AaveV3Config
    NON_NEGATIVE: ClassVar[bool] = True

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts. Their address joins pool and holder: the holder's wallet is different money."""
        config, assets = self.config, frozenset(self.config.reserves)
        identities = {asset: token_id(token) for asset, token in config.reserves.items()}
        return {
            name: Account(name, config.venue, f"{config.pool}/{address}", assets, identities)
            for name, address in config.accounts.items()
        }

    @property
    def pots(self) -> Mapping[str, Sequence[str]]:
        """Return the pool's liquidity, which accounts share, and each account's headroom, which its assets share."""
        config, names = self.config, tuple(self.config.accounts)
        where = f"in pool {config.pool} of {config.venue}"
        pots: dict[str, Sequence[str]] = {
            f"the liquidity of {token} {where}": names for token in config.reserves.values()
        }
        return pots | {f"the headroom of {holder} {where}": (name,) for name, holder in config.accounts.items()}

    async def fetch_balances(self) -> Reading:
        """Return what each account can withdraw from each reserve, all at one block.

        Raises:
            SourceError: If no endpoint, or too few for the quorum, can be read from.
        """
        survey = Survey(self.config)
        results = await self.client.read(
            survey.opening_calls(), survey.state_calls, survey.price_calls, survey.withdraw_calls
        )
        found = [_outcome(place, payable, results.block) for place, payable in survey.payables(results).items()]
        return Reading(
            balances=[each for each in found if isinstance(each, Balance)],
            failures=[each for each in found if isinstance(each, AccountFailure)],
        )


def _outcome(place: Place, found: Payable | SourceError, block: Block) -> Balance | AccountFailure:
    account, asset = place
    try:
        if isinstance(found, SourceError):
            raise found
        amount = whole_units(found.units, found.decimals)
        locked = whole_units(found.supplied - found.units, found.decimals)
    except SourceError as error:
        return AccountFailure(account, error.reason, error.detail, asset=asset)
    return Balance(account, asset, amount, block.time, locked=locked, block=block.number, note=found.note)
