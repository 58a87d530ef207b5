"""What portfolios consist of: accounts in several assets, positions and prices, all set by the test."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from reservd.plugin import (
    Account,
    AccountFailure,
    Balance,
    BalanceSource,
    Equity,
    EquitySource,
    FailureReason,
    Price,
    PriceSource,
    Reading,
    SourceError,
)
from reservd_portfolio.source import PortfolioEquitySource
from support.sources import Behaviour, Config


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


class Ledger(BalanceSource[Config]):
    """A balance source that reports `amounts` by `account/asset`; an amount of None is an asset that cannot be read.

    Attributes:
        amounts: What is payable.
        locked: What is there in addition; None if not reported.
        ages: The age of each amount in seconds, by `account/asset`.
        identities: The identifiers of the assets at the venue, by name.
        misbehave: Awaited instead when it is set.
        reads: The number of readings.
    """

    PLUGIN_NAME = "ledger"
    Config = Config

    def __init__(self, name: str = "treasury", timeout: float = 5.0, venue: str = "", **amounts: Any) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.venue = venue or name
        self.amounts: dict[str, Any] = {place.replace("__", "/"): amount for place, amount in amounts.items()}
        self.locked: dict[str, Any] = {}
        self.ages: dict[str, float] = {}
        self.silent: set[str] = set()
        self.identities: dict[str, str] = {}
        self.misbehave: Behaviour | None = None
        self.reads = 0

    @property
    def accounts(self) -> dict[str, Account]:
        assets: dict[str, set[str]] = {}
        for place in self.amounts:
            account, _, asset = place.partition("/")
            assets.setdefault(account, set()).add(asset)
        return {
            name: Account(name, self.venue, name, frozenset(held), self.identities) for name, held in assets.items()
        }

    async def fetch_balances(self) -> Any:
        self.reads += 1
        if self.misbehave is not None:
            return await self.misbehave()
        balances, failures = [], []
        for place, amount in self.amounts.items():
            account, _, asset = place.partition("/")
            if place in self.silent:
                continue
            if amount is None:
                failures.append(AccountFailure(account, FailureReason.TIMEOUT, "no answer", asset))
                continue
            locked = self.locked.get(place, 0)
            balances.append(
                Balance(
                    account,
                    asset,
                    Decimal(amount),
                    ago(self.ages.get(place, 0)),
                    locked=None if locked is None else Decimal(locked),
                )
            )
        return Reading(balances, failures)


class Position(EquitySource[Config]):
    """An equity source that reports `amount` in the requested currency.

    Attributes:
        fields: Other fields of the equity.
        asked: The requests: mode or share class, and currency.
    """

    PLUGIN_NAME = "position"
    Config = Config

    def __init__(self, name: str = "vaults", amount: Any = 0, *, by_share_class: bool = True) -> None:
        super().__init__(name, Config(timeout=5))
        self.amount = amount
        self.age = 0.0
        self.fields: dict[str, Any] = {}
        self.currency: str | None = None
        self.misbehave: Behaviour | None = None
        self.asked: list[tuple[str, str]] = []
        self._by_share_class = by_share_class

    @property
    def by_share_class(self) -> bool:
        return self._by_share_class

    async def fetch_equity(self, mode: str, currency: str) -> Any:
        self.asked.append((mode, currency))
        if self.misbehave is not None:
            return await self.misbehave()
        return Equity(Decimal(self.amount), self.currency or currency, ago(self.age), **self.fields)


class Market(PriceSource[Config]):
    """A price source that reports `values` by pair; `ETH_USDT` stands for `ETH/USDT`.

    Attributes:
        age: The age of the prices in seconds.
        asked: The requested pairs.
    """

    PLUGIN_NAME = "market"
    Config = Config

    def __init__(self, name: str = "market", timeout: float = 5.0, **values: Any) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.values: dict[str, Any] = {pair.replace("_", "/"): value for pair, value in values.items()}
        self.age = 0.0
        self.misbehave: Behaviour | None = None
        self.asked: list[str] = []

    async def fetch_price(self, base: str, quote: str) -> Any:
        pair = f"{base}/{quote}"
        self.asked.append(pair)
        if self.misbehave is not None:
            return await self.misbehave()
        if pair not in self.values:
            raise SourceError(FailureReason.INVALID_DATA, f"no price of {pair}")
        return Price(base, quote, Decimal(self.values[pair]), ago(self.age))


def portfolio(name: str = "nav", **options: Any) -> PortfolioEquitySource:
    """Return a portfolio in USDT, not connected yet."""
    config = PortfolioEquitySource.Config.model_validate({"currency": "USDT", **options})
    return PortfolioEquitySource(name, config)
