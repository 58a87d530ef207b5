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
    """The assets that are counted; all that the accounts are asked for when left out."""
    locked: bool = True
    """Whether what is there but not payable now is counted too."""
    debt: bool = False
    """Whether what the accounts hold is owed, as the debt tokens of a lending market are: it is taken off."""


class PortfolioEquity(PluginConfig):
    """Another equity source."""

    source: EquityReference
    """An equity source."""
    currency: Name | None = None
    """The currency that it is asked for; the portfolio's when left out."""


class PortfolioSecondPrice(PluginConfig):
    """A price source that must agree with the first."""

    source: PriceReference
    """A price source."""
    max_age: Duration
    """Seconds after which its price is no longer believed."""


class PortfolioPrice(PluginConfig):
    """What one asset costs."""

    source: PriceReference
    """A price source."""
    max_age: Duration
    """Seconds after which its price is no longer believed."""
    second: PortfolioSecondPrice | None = None
    """Another price source, which must agree: its price is compared and never used."""
    max_deviation: Annotated[Amount, Field(gt=0, le=1)] | None = None
    """How far the two prices may be apart, as a part of the smaller; required with `second`."""

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
    """Seconds a whole reading may take; longer than the slowest source that it reads."""
    currency: Name
    """What the sum is counted in: the share class of the modes that use it."""
    balances: tuple[PortfolioBalances, ...] = ()
    """The accounts that are counted."""
    equity: tuple[PortfolioEquity, ...] = ()
    """The equity sources that are counted."""
    prices: dict[Name, PortfolioPrice] = Field(default_factory=dict)
    """What each asset other than the currency costs, by asset."""
    max_skew: Duration | None = None
    """How many seconds apart the parts may have been observed; any number when left out."""

    @model_validator(mode="after")
    def _has_parts(self) -> Self:
        if not self.balances and not self.equity:
            raise PydanticCustomError("parts", "balances or equity must name a source")
        return self
