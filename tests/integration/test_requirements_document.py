"""The code in the requirements runs on this package; only its imports and leading underscores are adapted."""

import asyncio
from abc import ABC
from decimal import Decimal
from typing import Any

import reservd
from reservd import ReserveEvent, ReserveManager, ReserveSnapshot, ReserveStatus

CONFIG: dict[str, Any] = {
    "mode": "pure_lending",
    "share_class": "USDT",
    "asset": "USDT",
    "reserve_ratio": 0.05,
    "reserve_currency": "USDT",
    "reserve_monitoring_interval": 30,
    "reserve_low_threshold": 0.5,
    "reserve_critical_threshold": 0.2,
}


class EquityCalculator:
    """The platform's class: equity by share class, as an object with `total_equity`."""

    def __init__(self, total_equity: Decimal) -> None:
        self.total_equity = total_equity

    async def calculate_equity(self, share_class: str) -> "EquityCalculator":
        return self


class Alchemy:
    """The platform's class: balances by asset."""

    def __init__(self, **balances: Any) -> None:
        self.balances = balances

    async def get_balances(self) -> dict[str, Any]:
        return self.balances


# --- the requirements' strategy and withdrawal managers ---


class BaseStrategyManager(ABC):  # noqa: B024  # as in the requirements
    def __init__(
        self,
        config: dict[str, Any],
        risk_monitor: Any,
        position_monitor: Any,
        equity_calculator: Any,
        reserve_manager: ReserveManager,
    ) -> None:
        self.config = config
        self.risk_monitor = risk_monitor
        self.position_monitor = position_monitor
        self.equity_calculator = equity_calculator
        self.reserve_manager = reserve_manager
        self.share_class = config["share_class"]
        self.asset = config["asset"]
        self.reserve_manager.set_reserve_config(self.config["mode"], self.config)
        self.reserve_manager.add_reserve_callback(self.handle_reserve_event)

    def handle_reserve_event(self, event: ReserveEvent) -> None:
        if event.event_type == "reserve_low":
            self.request_fast_execution()
        elif event.event_type == "reserve_critical":
            self.request_emergency_execution()

    def request_fast_execution(self) -> None: ...  # noqa: B027  # as in the requirements

    def request_emergency_execution(self) -> None: ...  # noqa: B027  # as in the requirements

    async def check_reserve_adequacy(self) -> bool:
        snapshot = await self.reserve_manager.calculate_reserve_snapshot(self.config["mode"], self.config)
        return snapshot.status == ReserveStatus.ADEQUATE

    async def get_reserve_balance(self) -> Decimal:
        return await self.reserve_manager.get_reserve_balance(self.share_class)


class WithdrawalManager:
    def __init__(self, reserve_manager: ReserveManager) -> None:
        self.reserve_manager = reserve_manager
        self.withdrawal_speeds: dict[str, str] = {}

    async def get_withdrawal_speed(self, strategy_mode: str) -> str:
        config = self.reserve_manager.reserve_configs.get(strategy_mode)
        if not config:
            return "slow"
        snapshot = await self.reserve_manager.calculate_reserve_snapshot(strategy_mode, config)
        if snapshot.status == ReserveStatus.ADEQUATE:
            return "fast"
        if snapshot.status == ReserveStatus.LOW:
            return "medium"
        return "slow"

    async def process_withdrawal(self, strategy_mode: str, amount: Decimal) -> dict[str, Any] | None:
        speed = await self.get_withdrawal_speed(strategy_mode)
        if speed == "fast":
            return await self.fast_withdrawal(strategy_mode, amount)
        if speed == "medium":
            return await self.medium_withdrawal(strategy_mode, amount)
        return await self.slow_withdrawal(strategy_mode, amount)

    async def fast_withdrawal(self, strategy_mode: str, amount: Decimal) -> dict[str, Any] | None: ...

    async def medium_withdrawal(self, strategy_mode: str, amount: Decimal) -> dict[str, Any] | None: ...

    async def slow_withdrawal(self, strategy_mode: str, amount: Decimal) -> dict[str, Any] | None: ...


class Strategy(BaseStrategyManager):
    """A strategy of the platform that records the calls it gets."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.executions: list[str] = []

    def request_fast_execution(self) -> None:
        self.executions.append("fast")

    def request_emergency_execution(self) -> None:
        self.executions.append("emergency")


async def test_document_strategy_acts_when_its_reserve_falls() -> None:
    """The requirements' BaseStrategyManager and WithdrawalManager run against ReserveManager."""
    venue = Alchemy(USDT="60000", ETH=3.5)
    calculator = EquityCalculator(Decimal(1_000_000))
    manager = ReserveManager(calculator, {"alchemy": venue})
    strategy = Strategy(CONFIG, None, None, calculator, manager)
    withdrawals = WithdrawalManager(manager)
    assert await strategy.check_reserve_adequacy()
    assert await strategy.get_reserve_balance() == 60_000
    assert await withdrawals.get_withdrawal_speed("pure_lending") == "fast"
    assert await withdrawals.process_withdrawal("pure_lending", Decimal(100)) is None

    monitoring = asyncio.create_task(manager.start_monitoring())
    while not manager.ready:
        await asyncio.sleep(0.01)
    venue.balances["USDT"] = Decimal(24_000)
    await manager.check_all_reserves()
    assert await withdrawals.get_withdrawal_speed("pure_lending") == "medium"
    venue.balances["USDT"] = 9_000
    await manager.check_all_reserves()
    assert not await strategy.check_reserve_adequacy()
    assert await withdrawals.get_withdrawal_speed("pure_lending") == "slow"
    assert await withdrawals.get_withdrawal_speed("no_such_mode") == "slow"
    manager.stop_monitoring()
    await monitoring
    assert strategy.executions == ["fast", "emergency"]


async def test_document_withdrawals_are_decided_and_held_by_ours() -> None:
    """The calls of the requirements on this package's WithdrawalManager: accepted amounts are held."""
    venue = Alchemy(USDT="60000")
    calculator = EquityCalculator(Decimal(1_000_000))
    manager = ReserveManager(calculator, {"alchemy": venue})
    manager.set_reserve_config("pure_lending", CONFIG)
    withdrawals = reservd.WithdrawalManager(reserve_manager=manager)
    assert await withdrawals.get_withdrawal_speed("pure_lending") == "slow", "nothing was read yet"
    await manager.check_all_reserves()
    assert await withdrawals.get_withdrawal_speed("pure_lending") == "fast"
    fast = await withdrawals.process_withdrawal("pure_lending", Decimal(40_000))
    assert (fast.speed, fast.from_reserve, fast.unwound) == ("fast", 40_000, 0)
    medium = await withdrawals.process_withdrawal("pure_lending", Decimal(25_000))
    assert (medium.speed, medium.from_reserve, medium.unwound) == ("medium", 10_000, 15_000)
    snapshots = await manager.check_all_reserves()
    assert snapshots["pure_lending"].reserve_balance == 10_000
    assert snapshots["pure_lending"].held == 50_000
    # The target is of the equity less the 65,000 owed: 46,750, of which a fifth remains.
    medium = await withdrawals.process_withdrawal("pure_lending", Decimal(1_000))
    assert (medium.speed, medium.from_reserve, medium.unwound) == ("medium", 650, 350)
    slow = await withdrawals.process_withdrawal("pure_lending", Decimal(1))
    assert (slow.speed, slow.from_reserve, slow.unwound) == ("slow", 0, 1)


async def test_document_manager_makes_our_models_when_it_computes_a_snapshot() -> None:
    """The requirements' own ReserveManager creates ReserveSnapshot and ReserveEvent with its own fields only."""

    class DocumentReserveManager:
        def __init__(self, equity_calculator: Any, venue_interfaces: dict[str, Any]) -> None:
            self.equity_calculator = equity_calculator
            self.venue_interfaces = venue_interfaces
            self.reserve_callbacks: list[Any] = []

        async def calculate_reserve_snapshot(self, strategy_mode: str, config: dict[str, Any]) -> ReserveSnapshot:
            share_class = config["share_class"]
            reserve_ratio = Decimal(str(config.get("reserve_ratio", 0.05)))
            equity_snapshot = await self.equity_calculator.calculate_equity(share_class)
            total_equity = equity_snapshot.total_equity
            target_reserve = total_equity * reserve_ratio
            balances = await self.venue_interfaces["alchemy"].get_balances()
            reserve_balance = Decimal(str(balances.get(share_class, 0)))
            reserve_utilization = reserve_balance / target_reserve if target_reserve > 0 else Decimal(0)
            if reserve_utilization >= Decimal("1.0"):
                status = ReserveStatus.ADEQUATE
            elif reserve_utilization >= Decimal("0.5"):
                status = ReserveStatus.LOW
            else:
                status = ReserveStatus.CRITICAL
            return ReserveSnapshot(
                timestamp=asyncio.get_event_loop().time(),  # type: ignore[arg-type]  # as in the requirements
                strategy_mode=strategy_mode,
                share_class=share_class,
                total_equity=total_equity,
                reserve_balance=reserve_balance,
                reserve_ratio=reserve_ratio,
                target_reserve=target_reserve,
                status=status,
                reserve_utilization=reserve_utilization,
            )

        async def process_reserve_snapshot(self, snapshot: ReserveSnapshot) -> None:
            if snapshot.status == ReserveStatus.LOW:
                event = ReserveEvent(
                    event_type="reserve_low",  # type: ignore[arg-type]  # pydantic accepts the text
                    strategy_mode=snapshot.strategy_mode,
                    timestamp=snapshot.timestamp,
                    reserve_balance=snapshot.reserve_balance,
                    target_reserve=snapshot.target_reserve,
                    utilization=snapshot.reserve_utilization,
                )
                for callback in self.reserve_callbacks:
                    callback(event)

    got: list[ReserveEvent] = []
    manager = DocumentReserveManager(EquityCalculator(Decimal(1000)), {"alchemy": Alchemy(USDT=30)})
    manager.reserve_callbacks.append(got.append)
    snapshot = await manager.calculate_reserve_snapshot("pure_lending", CONFIG)
    await manager.process_reserve_snapshot(snapshot)
    assert snapshot.status is ReserveStatus.LOW
    assert got[0].event_type == "reserve_low"
    assert got[0].timestamp.tzinfo is not None


def test_document_event_logger_keeps_amounts_exact() -> None:
    """The requirements' ReserveEventLogger, without its floats."""
    logged: list[dict[str, Any]] = []

    class EventLogger:
        def log_event(self, entry: dict[str, Any]) -> None:
            logged.append(entry)

    event = ReserveEvent.model_validate(
        {
            "event_type": "reserve_low",
            "strategy_mode": "pure_lending",
            "timestamp": 0,
            "reserve_balance": Decimal("0.1000000000000000000001"),
            "target_reserve": Decimal(1),
            "utilization": Decimal("0.1"),
        }
    )
    reservd.ReserveEventLogger(EventLogger()).log_reserve_event(event)
    assert logged[0]["type"] == "reserve_event"
    assert logged[0]["event_type"] == "reserve_low"
    assert logged[0]["reserve_balance"] == "0.1000000000000000000001"


def test_document_names_are_all_there() -> None:
    for name in (
        "ReserveStatus",
        "ReserveSnapshot",
        "ReserveEvent",
        "ReserveManager",
        "WithdrawalManager",
        "BaseStrategyManager",
        "ReserveEventLogger",
    ):
        assert getattr(reservd, name).__name__ == name
        assert name in reservd.__all__
