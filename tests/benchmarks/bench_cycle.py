"""One cycle over 10,000 modes that share 100 in-memory sources, beside the requirements' own algorithm."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import structlog
from pydantic import BaseModel

from reservd import ReserveManager
from reservd.config.mode import ModeConfig
from reservd.plugin import Account, Balance, BalanceSource, Equity, EquitySource, Reading, SourceConfig
from support.bench import best, report

MODES = 10_000
BALANCE_SOURCES = 90
EQUITY_SOURCES = 10
ROUNDS = 7


class InMemoryBalances(BalanceSource[SourceConfig]):
    """Holds the accounts of its modes; changes as many as it is told to."""

    PLUGIN_NAME = "memory"
    Config = SourceConfig

    def __init__(self, name: str, modes: list[str]) -> None:
        super().__init__(name, SourceConfig())
        self.modes = modes
        self.reads = 0
        self.every = 0
        self.seed = 0
        now = datetime.now(UTC)
        self.balances = [Balance(mode, "USDT", Decimal(60_000), now) for mode in modes]

    @property
    def accounts(self) -> dict[str, Account]:
        return {mode: Account(mode, "memory", mode, frozenset({"USDT"})) for mode in self.modes}

    def change(self) -> None:
        self.seed += 1
        now = datetime.now(UTC)
        if self.every:
            for index in range(self.seed % self.every, len(self.modes), self.every):
                amount = Decimal(60_000 + self.seed % 50)
                self.balances[index] = Balance(self.modes[index], "USDT", amount, now)

    async def fetch_balances(self) -> Reading:
        self.reads += 1
        return Reading(self.balances)


class InMemoryEquity(EquitySource[SourceConfig]):
    """Answers by share class."""

    PLUGIN_NAME = "memory"
    Config = SourceConfig
    by_share_class = True

    def __init__(self, name: str) -> None:
        super().__init__(name, SourceConfig())
        self.reads = 0

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        self.reads += 1
        return Equity(Decimal(1_000_000), currency, datetime.now(UTC))


class DocumentStatus(Enum):
    ADEQUATE = "adequate"
    LOW = "low"
    CRITICAL = "critical"


class DocumentSnapshot(BaseModel):
    timestamp: float
    strategy_mode: str
    share_class: str
    total_equity: Decimal
    reserve_balance: Decimal
    reserve_ratio: Decimal
    target_reserve: Decimal
    status: DocumentStatus
    reserve_utilization: Decimal


class DocumentLoop:
    """What the requirements' ReserveManager does in one pass, and nothing else."""

    def __init__(self, calculator: Any, venue: Any, configs: dict[str, dict[str, Any]]) -> None:
        self.calculator = calculator
        self.venue = venue
        self.configs = configs

    async def check_all(self) -> None:
        for mode, config in self.configs.items():
            snapshot = await self.snapshot(mode, config)
            await self.process(snapshot)

    async def snapshot(self, mode: str, config: dict[str, Any]) -> DocumentSnapshot:
        ratio = Decimal(str(config.get("reserve_ratio", 0.05)))
        equity = (await self.calculator.calculate_equity(config["share_class"])).total_equity
        target = equity * ratio
        balance = await self.balance(config["share_class"])
        utilization = balance / target if target > 0 else Decimal(0)
        if utilization >= Decimal("1.0"):
            status = DocumentStatus.ADEQUATE
        elif utilization >= Decimal("0.5"):
            status = DocumentStatus.LOW
        else:
            status = DocumentStatus.CRITICAL
        return DocumentSnapshot(
            timestamp=asyncio.get_event_loop().time(),
            strategy_mode=mode,
            share_class=config["share_class"],
            total_equity=equity,
            reserve_balance=balance,
            reserve_ratio=ratio,
            target_reserve=target,
            status=status,
            reserve_utilization=utilization,
        )

    async def balance(self, share_class: str) -> Decimal:
        balances = await self.venue.get_balances()
        return Decimal(str(balances.get(share_class, 0)))

    async def process(self, snapshot: DocumentSnapshot) -> None:
        if snapshot.status != DocumentStatus.ADEQUATE:
            raise AssertionError


class DocumentVenue:
    def __init__(self) -> None:
        self.reads = 0

    async def get_balances(self) -> dict[str, Decimal]:
        self.reads += 1
        return {"USDT": Decimal(60_000)}


class DocumentCalculator:
    total_equity = Decimal(1_000_000)

    async def calculate_equity(self, share_class: str) -> "DocumentCalculator":
        return self


def _cpu(run: Callable[[], Coroutine[Any, Any, Any]], prepare: Callable[[], None], loop: Any) -> float:
    prepare()
    started = time.process_time()
    loop.run_until_complete(run())
    return time.process_time() - started


def bench_cycle_over_ten_thousand_modes() -> None:
    """CPU of a mode: all readings new, one in a hundred new, none new; and the document's loop."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    names = [f"mode_{number}" for number in range(MODES)]
    balances = {f"b{n}": InMemoryBalances(f"b{n}", names[n::BALANCE_SOURCES]) for n in range(BALANCE_SOURCES)}
    equities = {f"e{n}": InMemoryEquity(f"e{n}") for n in range(EQUITY_SOURCES)}
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        manager = ReserveManager(equities, balances)
        for number, name in enumerate(names):
            source = f"b{number % BALANCE_SOURCES}"
            config = {
                "mode": name, "share_class": "USDT", "reserve_ratio": "0.05",
                "reserve_balance_sources": [f"{source}/{name}"],
                "reserve_equity_source": f"e{number % EQUITY_SOURCES}",
            }  # fmt: skip
            manager.set_reserve_config(name, ModeConfig.model_validate(config))
        venue = DocumentVenue()
        document = DocumentLoop(
            DocumentCalculator(), venue, {name: {"share_class": "USDT", "reserve_ratio": 0.05} for name in names}
        )

        def change(every: int) -> Callable[[], None]:
            def prepare() -> None:
                for source in balances.values():
                    source.every = every
                    source.change()

            return prepare

        async def cycle() -> None:
            await manager._run_cycle(30.0)

        loop.run_until_complete(cycle())
        gc.collect()
        gc.freeze()  # as the daemon does once it runs
        reads = sum(source.reads for source in (*balances.values(), *equities.values()))
        base = best(ROUNDS, lambda: _cpu(document.check_all, lambda: None, loop))
        full = best(ROUNDS, lambda: _cpu(cycle, change(1), loop))
        hundredth = best(ROUNDS, lambda: _cpu(cycle, change(100), loop))
        none = best(ROUNDS, lambda: _cpu(cycle, lambda: None, loop))
        report(
            "one cycle over 10,000 modes, CPU a mode",
            [
                ("the document's loop", base / MODES * 1e6, "us", base, f"{venue.reads // ROUNDS} venue reads a pass"),
                ("every reading new", full / MODES * 1e6, "us", base, f"{reads} source reads a cycle; goal: ratio 1"),
                ("one in a hundred new", hundredth / MODES * 1e6, "us", base, "goal: ratio 0.2"),
                ("nothing new", none / MODES * 1e6, "us", base, ""),
            ],
            scale=MODES / 1e6,
        )


if __name__ == "__main__":
    bench_cycle_over_ten_thousand_modes()
