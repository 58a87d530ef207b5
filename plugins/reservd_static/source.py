"""Balances and equity from the configuration, always current."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import (
    Account,
    Amount,
    Balance,
    BalanceSource,
    Equity,
    EquitySource,
    FailureReason,
    PluginConfig,
    Reading,
    SourceError,
)


def _refuse_float(value: object) -> object:
    if isinstance(value, float):
        raise PydanticCustomError("float", "must be a Decimal, an int or decimal text: a float has lost digits")
    return value


ExactAmount = Annotated[Amount, BeforeValidator(_refuse_float)]
"""A finite amount in whole units; anything but a float."""

Name = Annotated[str, Field(min_length=1)]


class StaticBalance(PluginConfig):
    """The balance of one asset on one account."""

    account: Name = "main"
    """The account's name."""
    asset: Name
    """The asset, as the modes spell it."""
    amount: ExactAmount
    """Payable now, in whole units; negative is debt."""
    locked: ExactAmount = Decimal(0)
    """Held but not payable now, in whole units."""


class StaticBalanceConfig(PluginConfig):
    """Options of the `static` balance source."""

    balances: Annotated[tuple[StaticBalance, ...], Field(min_length=1)]
    """One entry per account and asset."""

    @field_validator("balances")
    @classmethod
    def _each_once(cls, balances: tuple[StaticBalance, ...]) -> tuple[StaticBalance, ...]:
        (place, times), *_ = Counter((balance.account, balance.asset) for balance in balances).most_common(1)
        if times > 1:
            rule = "must have one entry per account and asset: {account} has {asset} {times} times"
            raise PydanticCustomError("twice", rule, {"account": place[0], "asset": place[1], "times": times})
        return balances


class StaticBalanceSource(BalanceSource[StaticBalanceConfig]):
    """Reports the configured balances."""

    PLUGIN_NAME = "static"
    Config = StaticBalanceConfig

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts that the entries name."""
        assets: dict[str, set[str]] = {}
        for balance in self.config.balances:
            assets.setdefault(balance.account, set()).add(balance.asset)
        return {name: Account(name, self.name, name, frozenset(held)) for name, held in assets.items()}

    async def fetch_balances(self) -> Reading:
        """Return every configured balance, observed now."""
        now = datetime.now(UTC)
        return Reading(
            tuple(
                Balance(entry.account, entry.asset, entry.amount, now, locked=entry.locked)
                for entry in self.config.balances
            )
        )


class StaticEquityConfig(PluginConfig):
    """Options of the `static` equity source."""

    amount: ExactAmount
    """Total equity in whole units, for every mode that `modes` does not name."""
    modes: dict[str, ExactAmount] = Field(default_factory=dict)
    """Total equity by mode, in whole units."""
    currency: Name | None = None
    """The currency of the amounts: a mode with another share class gets no answer."""


class StaticEquitySource(EquitySource[StaticEquityConfig]):
    """Reports the configured equity."""

    PLUGIN_NAME = "static"
    Config = StaticEquityConfig

    @property
    def by_share_class(self) -> bool:
        """Whether one amount applies to all modes."""
        return not self.config.modes

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the configured equity of a mode, observed now."""
        if self.config.currency not in {None, currency}:
            raise SourceError(FailureReason.INVALID_DATA, f"equity is stated in {self.config.currency}, not {currency}")
        amount = self.config.modes.get(mode, self.config.amount)
        return Equity(amount, currency, datetime.now(UTC))
