"""Prices from the configuration, always current."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import FailureReason, PluginConfig, Price, PriceSource, SourceError
from reservd_static.source import ExactAmount

Pair = Annotated[str, StringConstraints(pattern=r"^[^/\s]+/[^/\s]+$")]
"""An asset and its quote, `ETH/USDT`."""


class StaticPriceConfig(PluginConfig):
    """Options of the `static` price source."""

    prices: Annotated[dict[Pair, ExactAmount], Field(min_length=1)]
    """Units of the second asset per unit of the first, by pair: `USDT.e/USDT: 1`."""

    @field_validator("prices")
    @classmethod
    def _above_zero(cls, prices: dict[str, ExactAmount]) -> dict[str, ExactAmount]:
        for pair, value in prices.items():
            if value <= 0:
                raise PydanticCustomError("price", "must be above 0, {pair} is not", {"pair": pair})
        return prices


class StaticPriceSource(PriceSource[StaticPriceConfig]):
    """Reports the configured prices."""

    PLUGIN_NAME = "static"
    Config = StaticPriceConfig

    async def fetch_price(self, base: str, quote: str) -> Price:
        """Return the configured price of a pair, observed now."""
        value = self.config.prices.get(f"{base}/{quote}")
        if value is None:
            raise SourceError(FailureReason.INVALID_DATA, f"no price of {base}/{quote} is stated")
        return Price(base, quote, value, datetime.now(UTC))
