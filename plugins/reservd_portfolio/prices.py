"""Prices of assets: young enough and, if two are compared, in agreement."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from reservd.plugin import CallError, FailureReason, Price, PriceReference, Readers, SourceError
from reservd_portfolio.config import PortfolioPrice

_EXACT = Context(prec=300)
_MAX_AHEAD = timedelta(seconds=60)
"""How far a source's clock may be ahead of this machine's."""


async def fetch_price(readers: Readers, base: str, quote: str, options: PortfolioPrice) -> Price:
    """Return the price of an asset.

    Raises:
        CallError: If a price could not be read, is too old, or two sources disagree: nobody trades at their
            average.
    """
    wanted = [(options.source, options.max_age)]
    if options.second is not None:
        wanted.append((options.second.source, options.second.max_age))
    prices = await asyncio.gather(*(_young(readers, source, base, quote, age) for source, age in wanted))
    if options.second is not None and options.max_deviation is not None:
        _check_agreement(prices[0], prices[1], options.max_deviation)
    return prices[0]


async def _young(readers: Readers, source: PriceReference, base: str, quote: str, max_age_seconds: float) -> Price:
    try:
        price = await readers.price(source, base, quote)
    except CallError as error:
        raise SourceError(error.reason, f"{source}: {error.detail}") from None
    now = datetime.now(UTC)
    if now - price.observed_at > timedelta(seconds=max_age_seconds):
        at = price.observed_at.isoformat()
        raise SourceError(
            FailureReason.INVALID_DATA, f"{source}: the price is of {at}, max_age is {max_age_seconds:g} s"
        )
    if price.observed_at - now > _MAX_AHEAD:
        raise SourceError(
            FailureReason.INVALID_DATA, f"{source}: the price is of {price.observed_at.isoformat()}, ahead"
        )
    return price


def _check_agreement(first: Price, second: Price, max_deviation: Decimal) -> None:
    apart = _EXACT.subtract(first.value, second.value).copy_abs()
    if apart > _EXACT.multiply(max_deviation, min(first.value, second.value)):
        detail = f"two sources disagree by more than {max_deviation}: {first.value} and {second.value}"
        raise SourceError(FailureReason.INVALID_DATA, detail)
