"""The options of the `portfolio` equity source."""

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import (
    Amount,
    BalanceReference,
    Duration,
    EquityReference,
    PluginConfig,
    PriceReference,
    Seconds,
    SourceConfig,
)

Name = Annotated[str, Field(min_length=1, max_length=100)]


class PortfolioBalances(PluginConfig):
    """Accounts of a balance source."""

    source: BalanceReference
    """A balance source, `name` or `name/account`."""
    assets: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """The assets that count; all that the accounts have when left out."""
    locked: bool = True
    """Whether amounts that are held but not payable now count too."""
    debt: bool = False
    """Whether the accounts' balances are debts, such as the debt tokens of a lending market: they are subtracted."""


class PortfolioEquity(PluginConfig):
    """Another equity source."""

    source: EquityReference
    """An equity source."""
    currency: Name | None = None
    """The currency that it is requested in; the portfolio's when left out."""


class PortfolioSecondPrice(PluginConfig):
    """A price source that must agree with the first."""

    source: PriceReference
    """A price source."""
    max_age: Duration
    """Seconds after which its price no longer counts."""


class PortfolioPrice(PluginConfig):
    """The price of one asset."""

    source: PriceReference
    """A price source."""
    max_age: Duration
    """Seconds after which its price no longer counts."""
    second: PortfolioSecondPrice | None = None
    """Another price source, which must agree: its price is compared and never used."""
    max_deviation: Annotated[Amount, Field(gt=0, le=1)] | None = None
    """The largest distance of the two prices, as a part of the smaller; required with `second`."""

    @model_validator(mode="after")
    def _compared(self) -> Self:
        if (self.second is None) != (self.max_deviation is None):
            raise PydanticCustomError("second", "second and max_deviation must be given both or not at all")
        if self.second is not None and self.second.source == self.source:
            raise PydanticCustomError("second", "second must be another source than the first")
        return self


class PortfolioConfig(SourceConfig):
    """Options of the `portfolio` equity source."""

    timeout: Seconds = 30.0
    """Seconds that a whole reading may take; must exceed that of the slowest source in it."""
    currency: Name
    """The currency of the sum: the share class of the modes that use it."""
    balances: tuple[PortfolioBalances, ...] = ()
    """The accounts that count."""
    equity: tuple[PortfolioEquity, ...] = ()
    """The equity sources that count."""
    prices: dict[Name, PortfolioPrice] = Field(default_factory=dict)
    """The prices of other assets, by asset."""
    max_skew: Duration | None = None
    """How many seconds apart the parts may have been observed; unlimited when left out."""

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        if not self.balances and not self.equity:
            raise PydanticCustomError("parts", "balances or equity must name a source")
        return self
