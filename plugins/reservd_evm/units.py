"""Units on the chain to whole units, exactly; and of two blocks the one that is believed."""

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
    """What is believed to be there.

    Attributes:
        units: How much, in the asset's smallest unit.
        decimals: How many of its decimals those units are.
        block: The block that says so.
    """

    units: int
    decimals: int
    block: Block


def to_outcome(holding: Holding, results: Mapping[BlockTag, Results], keep: Decimal) -> Balance | AccountFailure:
    """Return what an account holds of an asset, or why that is not known.

    Args:
        holding: The account and the asset.
        results: What the chain holds at one block, or at two of which the newer comes first.
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

    A drop so counts from the newer block, a rise only from the older one. Where both hold the same
    the newer one is named.

    Raises:
        SourceError: If one of both is not known: the other alone may be too high.
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
