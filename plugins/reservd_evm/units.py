"""Converts the chain's units to whole units, exactly, and picks the lower balance of two blocks."""

from collections.abc import Mapping
from decimal import Context, Decimal
from operator import attrgetter
from typing import NamedTuple

from reservd.plugin import AccountFailure, Balance, SourceError
from reservd.plugin.evm import Block, BlockTag, Call, Results, invalid
from reservd_evm.plan import Holding

_KEPT = "the option keep leaves the rest out"
_EXACT = Context(prec=200)
"""Wider than a uint256 less any `keep`: nothing is rounded."""
_UNITS = attrgetter("units")


class Sighting(NamedTuple):
    """The balance that counts.

    Attributes:
        units: The amount, in the asset's smallest unit.
        decimals: The asset's decimals.
        block: The block with this balance.
    """

    units: int
    decimals: int
    block: Block


def to_outcome(holding: Holding, results: Mapping[BlockTag, Results], keep: Decimal) -> Balance | AccountFailure:
    """Return an account's balance of an asset, or why it is unknown.

    Args:
        holding: The account and the asset.
        results: The results at one block, or at two with the newer first.
        keep: Whole units that are not payable.
    """
    observed_at = next(iter(results.values())).block.time
    try:
        seen = believed(holding, results)
        payable, locked = split(seen.units, seen.decimals, keep)
        note = _KEPT if locked else ""
        return Balance(
            holding.account, holding.asset, payable, observed_at, locked=locked, block=seen.block.number, note=note
        )
    except SourceError as error:
        return AccountFailure(holding.account, error.reason, error.detail, asset=holding.asset)
    except ValueError as error:
        failure = invalid(str(error))
        return AccountFailure(holding.account, failure.reason, failure.detail, asset=holding.asset)


def believed(holding: Holding, results: Mapping[BlockTag, Results]) -> Sighting:
    """Return the lower of the balances at the newer and the older block.

    So a drop counts from the newer block on, a rise only from the older one. If both balances are equal,
    the newer block is named.

    Raises:
        SourceError: If one of the two is unknown: the other alone may be too high.
    """
    sightings = [_sighting(holding, found) for found in results.values()]
    return min(sightings, key=_UNITS)


def split(units: int, decimals: int, keep: Decimal) -> tuple[Decimal, Decimal]:
    """Return the payable and the locked part in whole units."""
    # From text, because arithmetic would round to the context's precision.
    held = Decimal(f"{units}E-{decimals}")
    locked = min(keep, held)
    return (_EXACT.subtract(held, locked) if locked else held), locked


def _sighting(holding: Holding, results: Results) -> Sighting:
    decimals = results.number(holding.decimals) if isinstance(holding.decimals, Call) else holding.decimals
    units = results.number(holding.units) if isinstance(holding.units, Call) else results.wei(holding.units)
    return Sighting(units, decimals, results.block)
