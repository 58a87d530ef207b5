"""The options: a simulated treasury, and the treasury that an instance belongs to."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, PluginConfig

DECIMALS = 6
"""Decimals of all amounts, whatever the currency; all sums are exact."""
_MOST = 10**15

Positive = Annotated[Amount, Field(gt=0, le=_MOST, decimal_places=DECIMALS)]
NotNegative = Annotated[Amount, Field(ge=0, le=_MOST, decimal_places=DECIMALS)]
Period = Annotated[float, Field(ge=0.1, le=86_400)]
Delay = Annotated[float, Field(ge=0, le=86_400)]
Name = Annotated[str, Field(min_length=1)]


class PaperFlow(PluginConfig):
    """Money that comes in or goes out regularly."""

    amount: Positive
    """The amount each time, in whole units."""
    every: Period
    """Seconds from one wave to the next."""
    times: Annotated[int, Field(ge=1, le=1000)] = 1
    """How many times in one wave."""
    apart: Period = 1.0
    """Seconds between two times in one wave."""
    first: Delay | None = None
    """Seconds until the first wave; `every` when left out."""

    @model_validator(mode="after")
    def _waves_do_not_meet(self) -> Self:
        if self.times * self.apart > self.every and self.times > 1:
            raise PydanticCustomError("waves", "times * apart must be at most every: one wave ends before the next")
        return self


class PaperBook(PluginConfig):
    """The money of one mode."""

    currency: Name
    """The share class of the mode."""
    equity: NotNegative
    """Total equity at the start, in whole units, the reserve included."""
    reserve: NotNegative
    """The liquid part of it at the start."""
    redemptions: PaperFlow | None = None
    """Money that investors withdraw: paid from the reserve while it lasts."""
    deposits: PaperFlow | None = None
    """Money that investors deposit. Whatever then exceeds the initial reserve is deployed."""
    refill_delay: Delay = 10.0
    """Seconds from a refill request until the money is liquid."""

    @model_validator(mode="after")
    def _reserve_is_a_part(self) -> Self:
        if self.reserve > self.equity:
            raise PydanticCustomError("reserve", "reserve must be at most equity: it is a part of it")
        return self


class PaperConfig(PluginConfig):
    """Options of the `paper` equity source and replenisher."""

    treasury: Name = "paper"
    """The treasury of this instance; a balance source defines it."""


class PaperBalanceConfig(PaperConfig):
    """Options of the `paper` balance source, which defines the treasury."""

    books: Annotated[dict[Name, PaperBook], Field(min_length=1)]
    """The money of each mode; each book is one account with the mode's name."""
    seed: int = 0
    """The same seed gives the same amounts at the same seconds."""
    jitter: Annotated[Decimal, Field(ge=0, le=1)] = Decimal("0.1")
    """The part by which amounts vary and times are late."""
