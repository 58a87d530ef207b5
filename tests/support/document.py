"""The monitoring loop of the requirements, with its names, as the baseline of the benchmarks.

It reads the calculator and the wallet again for every mode, caches nothing between two passes, and creates one pydantic
model per check. Only what no benchmark reaches is left out: callbacks and their events.
"""

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol

from pydantic import BaseModel


class ReserveStatus(Enum):
    ADEQUATE = "adequate"
    LOW = "low"
    CRITICAL = "critical"


class ReserveSnapshot(BaseModel):
    timestamp: float
    strategy_mode: str
    share_class: str
    total_equity: Decimal
    reserve_balance: Decimal
    reserve_ratio: Decimal
    target_reserve: Decimal
    status: ReserveStatus
    reserve_utilization: Decimal


class EquitySnapshot(Protocol):
    total_equity: Decimal


class EquityCalculator(Protocol):
    async def calculate_equity(self, share_class: str) -> EquitySnapshot: ...


class VenueInterface(Protocol):
    async def get_balances(self) -> Mapping[str, Decimal]: ...


class ReserveManager:
    """One pass of the loop, and nothing else."""

    def __init__(self, equity_calculator: EquityCalculator, venue_interfaces: Mapping[str, VenueInterface]) -> None:
        self.equity_calculator = equity_calculator
        self.venue_interfaces = venue_interfaces
        self.reserve_configs: dict[str, dict[str, Any]] = {}

    def set_reserve_config(self, strategy_mode: str, config: dict[str, Any]) -> None:
        self.reserve_configs[strategy_mode] = config

    async def check_all_reserves(self) -> None:
        for strategy_mode, config in self.reserve_configs.items():
            snapshot = await self.calculate_reserve_snapshot(strategy_mode, config)
            await self.process_reserve_snapshot(snapshot)

    async def calculate_reserve_snapshot(self, strategy_mode: str, config: dict[str, Any]) -> ReserveSnapshot:
        share_class = config["share_class"]
        reserve_ratio = Decimal(str(config.get("reserve_ratio", 0.05)))
        equity_snapshot = await self.equity_calculator.calculate_equity(share_class)
        total_equity = equity_snapshot.total_equity
        target_reserve = total_equity * reserve_ratio
        reserve_balance = await self.get_reserve_balance(share_class)
        reserve_utilization = reserve_balance / target_reserve if target_reserve > 0 else Decimal(0)
        if reserve_utilization >= Decimal("1.0"):
            status = ReserveStatus.ADEQUATE
        elif reserve_utilization >= Decimal("0.5"):
            status = ReserveStatus.LOW
        else:
            status = ReserveStatus.CRITICAL
        return ReserveSnapshot(
            timestamp=asyncio.get_event_loop().time(),
            strategy_mode=strategy_mode,
            share_class=share_class,
            total_equity=total_equity,
            reserve_balance=reserve_balance,
            reserve_ratio=reserve_ratio,
            target_reserve=target_reserve,
            status=status,
            reserve_utilization=reserve_utilization,
        )

    async def get_reserve_balance(self, share_class: str) -> Decimal:
        if "alchemy" in self.venue_interfaces:
            balances = await self.venue_interfaces["alchemy"].get_balances()
            return Decimal(str(balances.get(share_class, 0)))
        return Decimal(0)

    async def process_reserve_snapshot(self, snapshot: ReserveSnapshot) -> None:
        if snapshot.status in {ReserveStatus.LOW, ReserveStatus.CRITICAL}:
            raise AssertionError("a benchmark's reserves are adequate")
