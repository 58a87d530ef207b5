"""The `aave_v3` equity source: what accounts supplied to a pool, minus their debt."""

from reservd.plugin import Equity, EquitySource
from reservd.plugin.evm import EvmPlugin, invalid, whole_units
from reservd_aave_v3.config import AaveV3EquityConfig
from reservd_aave_v3.worth import Ledger


class AaveV3EquitySource(EvmPlugin[AaveV3EquityConfig], EquitySource[AaveV3EquityConfig]):
    """Reads what all accounts own, net of debt."""

    PLUGIN_NAME = "aave_v3"
    Config = AaveV3EquityConfig

    @property
    def by_share_class(self) -> bool:
        """Always true: the share class determines the reserve that the equity is counted in."""
        return True

    async def fetch_equity(self, mode: str, currency: str) -> Equity:  # noqa: ARG002  # the share class is enough
        """Return what all accounts own in the pool, all at one block.

        Raises:
            SourceError: If a part could not be read, an account has debt in a reserve that is not counted, a
                price is too old, or no reserve is in the share class.
        """
        if currency not in self.config.reserves:
            raise invalid(f"no reserve is in {currency}")
        ledger = Ledger(self.config, currency)
        results = await self.client.read(
            ledger.opening_calls(), ledger.balance_calls, ledger.price_calls, ledger.age_calls
        )
        worths, decimals = ledger.worths(results), ledger.decimals(results)
        return Equity(
            amount=whole_units(sum(worths.values()), decimals),
            currency=currency,
            observed_at=results.block.time,
            components={name: whole_units(units, decimals) for name, units in worths.items()},
        )
