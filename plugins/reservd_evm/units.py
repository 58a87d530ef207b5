"""Units on the chain to whole units, exactly."""

from decimal import Context, Decimal, localcontext

from reservd.plugin import AccountFailure, Balance, SourceError
from reservd_evm.answers import Outcome, invalid
from reservd_evm.queries import Query
from reservd_evm.reading import Sighting

_EXACT = Context(prec=200)
"""Wider than a uint256 less any `keep`: nothing is rounded."""


def to_balance(query: Query, seen: Sighting, decimals: Outcome, keep: Decimal) -> Balance | AccountFailure:
    """Return what an account holds of an asset, or why that is not known.

    Args:
        query: The account and the asset.
        seen: What the chain holds, in the asset's smallest unit.
        decimals: How many of its decimals those units are.
        keep: Whole units that are not payable.
    """
    if isinstance(decimals, SourceError):
        return _failure(query, decimals)
    if isinstance(seen.units, SourceError):
        return _failure(query, seen.units)
    # From text, because arithmetic would round to the context's precision.
    held = Decimal(f"{seen.units}E-{decimals}")
    locked = min(keep, held)
    with localcontext(_EXACT):
        payable = held - locked if locked else held
    try:
        return Balance(query.account, query.asset, payable, seen.observed_at, locked=locked, block=seen.block.number)
    except ValueError as error:
        return _failure(query, invalid(str(error)))


def _failure(query: Query, error: SourceError) -> AccountFailure:
    return AccountFailure(query.account, error.reason, error.detail, asset=query.asset)
