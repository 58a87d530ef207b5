"""Ten thousand modes on in-memory sources, for benchmarks of the program without its venues."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from reservd.config.mode import ModeConfig
from reservd.plugin import Account, Balance, BalanceSource, Equity, EquitySource, Reading, SourceConfig

CURRENCY = "USDT"


class InMemoryBalances(BalanceSource[SourceConfig]):
    """One account for each of its modes. Each reading consists of new objects, as if received over a network."""

    PLUGIN_NAME = "memory"
    Config = SourceConfig

    def __init__(self, name: str, modes: Iterable[str]) -> None:
        super().__init__(name, SourceConfig())
        self.amounts = dict.fromkeys(modes, Decimal("60012.345678"))
        self.reads = 0
        self._readings: list[Reading] = []
        self.renew()

    @property
    def accounts(self) -> dict[str, Account]:
        return {mode: Account(mode, "memory", mode, frozenset({CURRENCY})) for mode in self.amounts}

    def change(self, modes: Iterable[str]) -> None:
        """Reduce the balances of some accounts a little."""
        for mode in modes:
            self.amounts[mode] -= Decimal("0.000001")

    def renew(self, readings: int = 1) -> None:
        """Prepare the next readings, so that a benchmark does not measure this; each differs from the one before."""
        now = datetime.now(UTC)
        self._readings = []
        for number in range(readings):
            if number:
                self.change(self.amounts)
            balances = [Balance(mode, CURRENCY, +amount, now) for mode, amount in self.amounts.items()]
            self._readings.append(Reading(balances))

    async def fetch_balances(self) -> Reading:
        self.reads += 1
        return self._readings.pop(0) if len(self._readings) > 1 else self._readings[0]


class InMemoryEquity(EquitySource[SourceConfig]):
    """Answers for all modes of a share class at once."""

    PLUGIN_NAME = "memory"
    Config = SourceConfig
    by_share_class = True

    def __init__(self, name: str) -> None:
        super().__init__(name, SourceConfig())
        self.amount = Decimal("1000003.456789")
        self.reads = 0

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        self.reads += 1
        return Equity(self.amount, currency, datetime.now(UTC))


class Fleet:
    """Modes, each with an account of its own; accounts and equities are spread over the sources.

    Attributes:
        balance_sources: By name.
        equity_sources: By name.
        modes: The configuration of each mode, by name.
    """

    def __init__(
        self, modes: int = 10_000, balance_sources: int = 90, equity_sources: int = 10, *, interval_seconds: int = 30
    ) -> None:
        names = [f"mode_{number}" for number in range(modes)]
        self.balance_sources = {
            f"wallets_{number}": InMemoryBalances(f"wallets_{number}", names[number::balance_sources])
            for number in range(balance_sources)
        }
        self.equity_sources = {f"nav_{number}": InMemoryEquity(f"nav_{number}") for number in range(equity_sources)}
        self.modes: Mapping[str, ModeConfig] = {
            name: _mode(
                name,
                f"wallets_{number % balance_sources}/{name}",
                f"nav_{number % equity_sources}",
                interval_seconds,
            )
            for number, name in enumerate(names)
        }
        self._turn = 0

    @property
    def reads(self) -> int:
        """The number of readings of all sources."""
        return sum(source.reads for source in (*self.balance_sources.values(), *self.equity_sources.values()))

    def renew(self, readings: int = 1) -> None:
        """Make the next readings new: the first has the amounts of the last one, later ones differ in every amount."""
        for source in self.balance_sources.values():
            source.renew(readings)

    def change_all(self) -> None:
        """Make the next readings differ in every balance and every equity."""
        for source in self.balance_sources.values():
            source.change(source.amounts)
        for equity in self.equity_sources.values():
            equity.amount += Decimal("0.000001")
        self.renew()

    def change_some(self, every: int = 100) -> None:
        """Make the next readings differ in one of `every` balances, others than last time."""
        self._turn += 1
        for source in self.balance_sources.values():
            source.change(list(source.amounts)[self._turn % every :: every])
        self.renew()


def _mode(name: str, account: str, equity: str, interval_seconds: int) -> ModeConfig:
    keys: dict[str, Any] = {
        "mode": name,
        "share_class": CURRENCY,
        "reserve_ratio": "0.05",
        "reserve_monitoring_interval": interval_seconds,
        "reserve_balance_sources": [account],
        "reserve_equity_source": equity,
    }
    return ModeConfig.model_validate(keys)
