"""Sources, sinks and replenishers whose behaviour a test sets."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from reservd.plugin import (
    Acceptance,
    AcceptanceStatus,
    Account,
    Balance,
    BalanceSource,
    CloudEvent,
    Equity,
    EquitySource,
    EventSink,
    Reading,
    Replenisher,
    ReplenishmentRequest,
    SourceConfig,
)

Behaviour = Callable[[], Awaitable[Any]]


class Config(SourceConfig):
    """No options other than the timeout."""


class ScriptedBalances(BalanceSource[Config]):
    """Reports `amounts` by account; `misbehave` is awaited instead when it is set."""

    PLUGIN_NAME = "scripted"
    Config = Config
    NON_NEGATIVE = True

    def __init__(self, name: str, timeout: float = 5.0, **amounts: Any) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.amounts: dict[str, Any] = amounts
        self.misbehave: Behaviour | None = None
        self.script: list[dict[str, Any]] = []
        self.health: dict[str, bool] = {}
        self.reads = 0
        self.opened = 0
        self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed += 1

    @property
    def endpoints(self) -> dict[str, bool]:
        return self.health

    @property
    def accounts(self) -> dict[str, Account]:
        return {name: Account(name, self.name, name, frozenset({"USDT"})) for name in self.amounts}

    async def fetch_balances(self) -> Any:
        self.reads += 1
        if self.misbehave is not None:
            return await self.misbehave()
        if self.script:
            self.amounts.update(self.script.pop(0))
        now = datetime.now(UTC)
        return Reading([Balance(name, "USDT", Decimal(amount), now) for name, amount in self.amounts.items()])


class ScriptedWallets(ScriptedBalances):
    """Reports the same amounts of two assets, USDT and ETH, for each account."""

    @property
    def accounts(self) -> dict[str, Account]:
        return {name: Account(name, self.name, name, frozenset({"USDT", "ETH"})) for name in self.amounts}

    async def fetch_balances(self) -> Reading:
        balances = (await super().fetch_balances()).balances
        return Reading([replace(each, asset=asset) for each in balances for asset in ("USDT", "ETH")])


class ScriptedEquity(EquitySource[Config]):
    """Reports `amount`; `misbehave` is awaited instead when it is set."""

    PLUGIN_NAME = "scripted"
    Config = Config
    by_share_class = True

    def __init__(self, name: str = "nav", amount: Any = 1000, timeout: float = 5.0) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.amount = amount
        self.misbehave: Behaviour | None = None
        self.asked: list[str] = []

    async def fetch_equity(self, mode: str, currency: str) -> Any:
        self.asked.append(mode)
        if self.misbehave is not None:
            return await self.misbehave()
        return Equity(Decimal(self.amount), currency, datetime.now(UTC))


class ScriptedSink(EventSink[Config]):
    """Records what it receives; `misbehave` is awaited first when it is set."""

    PLUGIN_NAME = "scripted"
    Config = Config

    def __init__(self, name: str = "ops", timeout: float = 5.0) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.taken: list[CloudEvent] = []
        self.misbehave: Behaviour | None = None

    async def deliver(self, event: CloudEvent) -> None:
        if self.misbehave is not None:
            await self.misbehave()
        self.taken.append(event)


class ScriptedReplenisher(Replenisher[Config]):
    """Records requests and answers `answer`; `misbehave` is awaited first when it is set."""

    PLUGIN_NAME = "scripted"
    Config = Config

    def __init__(self, name: str = "unwinder", timeout: float = 5.0) -> None:
        super().__init__(name, Config(timeout=timeout))
        self.asked: list[ReplenishmentRequest] = []
        self.answer: Any = Acceptance(status=AcceptanceStatus.ACCEPTED, reference="u-1")
        self.misbehave: Behaviour | None = None

    async def request(self, request: ReplenishmentRequest) -> Any:
        self.asked.append(request)
        if self.misbehave is not None:
            await self.misbehave()
        return self.answer


def raises(error: BaseException) -> Behaviour:
    """Raise the error on every call."""

    async def behave() -> None:
        raise error

    return behave


def returns(value: object) -> Behaviour:
    """Return the value on every call."""

    async def behave() -> object:
        return value

    return behave


async def hangs() -> None:
    """Never return."""
    await asyncio.Event().wait()


def ignores_cancellation(until: asyncio.Event) -> Behaviour:
    """Never return, and ignore cancellation, until `ended` is set."""

    async def behave() -> None:
        while not until.is_set():
            try:
                await until.wait()
            except asyncio.CancelledError:
                continue

    return behave


class WalletBalances(ScriptedBalances):
    """The same, with accounts that are identified by name, whatever source reports them."""

    @property
    def accounts(self) -> dict[str, Account]:
        return {name: Account(name, "chain", name, frozenset({"USDT"})) for name in self.amounts}


class EquityByMode(ScriptedEquity):
    """Reports `amounts` by mode; a behaviour in place of an amount is awaited."""

    by_share_class = False

    def __init__(self, name: str = "nav", **amounts: Any) -> None:
        super().__init__(name)
        self.amounts = amounts

    async def fetch_equity(self, mode: str, currency: str) -> Any:
        self.asked.append(mode)
        amount = self.amounts[mode]
        if callable(amount):
            return await amount()
        return Equity(Decimal(amount), currency, datetime.now(UTC))
