"""The `erc4626` equity source: what positions in vaults are worth."""

from collections.abc import Callable, Mapping
from typing import Self, TypeVar

from reservd.plugin import Equity, EquitySource, SourceError
from reservd.plugin.evm import EvmClient, Results, invalid, whole_units
from reservd_erc4626.config import Erc4626EquityConfig, Erc4626Position
from reservd_erc4626.vaults import decimals, decimals_calls
from reservd_erc4626.worth import conversion_call, opening_calls, share_call, worth

T = TypeVar("T")


class Erc4626EquitySource(EquitySource[Erc4626EquityConfig]):
    """Reads what the positions in the share class are worth.

    A reading costs three HTTP requests, and a fourth where a position is asynchronous or leaves
    out `token`.
    """

    PLUGIN_NAME = "erc4626"
    Config = Erc4626EquityConfig

    def __init__(self, name: str, config: Erc4626EquityConfig) -> None:
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
    def by_share_class(self) -> bool:
        """Positions belong to a share class, by their asset."""
        return True

    async def fetch_equity(self, mode: str, currency: str) -> Equity:  # noqa: ARG002  # the share class tells all
        """
        Return the sum of the positions in the share class, all at one block.

        Raises:
            SourceError: If a position could not be read, or none is in the share class.
        """
        positions = {name: position for name, position in self.config.positions.items() if position.asset == currency}
        if not positions:
            raise invalid(f"no position is in {currency}")
        results = await self._client.read(call for each in positions.values() for call in opening_calls(each))
        shares = _of_each(positions, share_call, results)
        results = await self._client.read([*decimals_calls(results, positions.values()), *shares.values()], results)
        results = await self._client.read(_of_each(positions, conversion_call, results).values(), results)
        return _equity(_of_each(positions, worth, results), _of_each(positions, decimals, results), currency, results)


def _of_each(
    positions: Mapping[str, Erc4626Position], read: Callable[[Results, Erc4626Position], T], results: Results
) -> dict[str, T]:
    """Return what `read` finds for each position; what it raises names the position."""
    found = {}
    for name, position in positions.items():
        try:
            found[name] = read(results, position)
        except SourceError as error:
            raise SourceError(error.reason, f"{name}: {error.detail}") from None
    return found


def _equity(worths: Mapping[str, int], decimals_of: Mapping[str, int], currency: str, results: Results) -> Equity:
    # Summed in the smallest unit of the token with most decimals: integers are exact.
    most = max(decimals_of.values())
    total = sum(amount * 10 ** (most - decimals_of[name]) for name, amount in worths.items())
    return Equity(
        amount=whole_units(total, most),
        currency=currency,
        observed_at=results.block.time,
        components={name: whole_units(amount, decimals_of[name]) for name, amount in worths.items()},
    )
