"""The `erc4626` equity source: what positions in vaults are worth."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from reservd.plugin import Equity, EquitySource, SourceError
from reservd.plugin.evm import Call, EvmPlugin, Results, invalid, whole_units
from reservd_erc4626.config import Erc4626EquityConfig, Erc4626Position
from reservd_erc4626.vaults import decimals, decimals_calls
from reservd_erc4626.worth import conversion_call, opening_calls, share_call, worth

T = TypeVar("T")


class Erc4626EquitySource(EvmPlugin[Erc4626EquityConfig], EquitySource[Erc4626EquityConfig]):
    """Reads the worth of the positions in the share class."""

    PLUGIN_NAME = "erc4626"
    Config = Erc4626EquityConfig

    @property
    def by_share_class(self) -> bool:
        """Always true: positions belong to a share class, by their asset."""
        return True

    async def fetch_equity(self, mode: str, currency: str) -> Equity:  # noqa: ARG002  # the share class is enough
        """Return the sum of the positions in the share class, all at one block.

        Raises:
            SourceError: If a position could not be read, or none is in the share class.
        """
        positions = {name: position for name, position in self.config.positions.items() if position.asset == currency}
        if not positions:
            raise invalid(f"no position is in {currency}")

        def share_calls(found: Results) -> Iterator[Call]:
            yield from decimals_calls(found, positions.values())
            yield from _of_each(positions, share_call, found).values()

        def conversion_calls(found: Results) -> Iterator[Call]:
            yield from _of_each(positions, conversion_call, found).values()

        opening = [call for position in positions.values() for call in opening_calls(position)]
        results = await self.client.read(opening, share_calls, conversion_calls)
        return _equity(_of_each(positions, worth, results), _of_each(positions, decimals, results), currency, results)


def _of_each(
    positions: Mapping[str, Erc4626Position], read: Callable[[Results, Erc4626Position], T], results: Results
) -> dict[str, T]:
    """Return the result of `read` for each position; its errors name the position."""
    found = {}
    for name, position in positions.items():
        try:
            found[name] = read(results, position)
        except SourceError as error:
            raise SourceError(error.reason, f"{name}: {error.detail}") from None
    return found


def _equity(worths: Mapping[str, int], decimals_of: Mapping[str, int], currency: str, results: Results) -> Equity:
    # Summed in the smallest unit of the token with the most decimals: integers are exact.
    most = max(decimals_of.values())
    total = sum(amount * 10 ** (most - decimals_of[name]) for name, amount in worths.items())
    return Equity(
        amount=whole_units(total, most),
        currency=currency,
        observed_at=results.block.time,
        components={name: whole_units(amount, decimals_of[name]) for name, amount in worths.items()},
    )
