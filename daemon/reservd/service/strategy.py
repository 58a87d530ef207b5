"""The base of strategies that refill their own reserve."""

from abc import ABC
from decimal import Decimal
from typing import Any

from reservd.monitor.manager import ReserveManager
from reservd.reserve.models import EventType, ReserveEvent, ReserveStatus
from reservd.reserve.replenishment import ReplenishmentOutcome


class BaseStrategyManager(ABC):  # noqa: B024  # what it leaves open has a default: to do nothing
    """A strategy with a reserve, in the same process as its reserve manager.

    A subclass implements `request_fast_execution` and `request_emergency_execution`. They are
    called at most once for each incident and severity, and only where the mode has no replenisher:
    where it has one, the strategy acts on its requests.

    Args:
        config: The strategy's configuration: `mode`, `share_class`, `asset` and `reserve_*`.
        risk_monitor: Kept for the subclass.
        position_monitor: Kept for the subclass.
        equity_calculator: Kept for the subclass.
        reserve_manager: Watches this strategy's mode from now on.
    """

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
        self.mode: str = config["mode"]
        self.share_class: str = config["share_class"]
        self.asset = config.get("asset")
        self._acted: tuple[str | None, set[EventType]] = (None, set())
        reserve_manager.set_reserve_config(self.mode, config)
        reserve_manager.add_reserve_callback(self.handle_reserve_event, modes=[self.mode])

    def handle_reserve_event(self, event: ReserveEvent) -> None:
        """Act on an event of this mode, once for each incident and severity."""
        named = self.reserve_manager.reserve_configs[self.mode].reserve_replenisher
        has_replenisher = named is not None and self.reserve_manager.replenishment is not None
        if has_replenisher or event.reminder or event.superseded:
            return
        incident, acted = self._acted
        if event.incident_id != incident:
            acted = set()
        if event.event_type in acted:
            return
        self._acted = (event.incident_id, acted | {event.event_type})
        if event.event_type is EventType.LOW:
            self.request_fast_execution()
        elif event.event_type is EventType.CRITICAL:
            self.request_emergency_execution()

    def request_fast_execution(self) -> None:  # noqa: B027  # a strategy may refill nothing by itself
        """Unwind fast to refill a reserve that is low."""

    def request_emergency_execution(self) -> None:  # noqa: B027  # the same
        """Unwind at once to refill a reserve that is critical."""

    async def check_reserve_adequacy(self) -> bool:
        """Read now and return whether the reserve is adequate for fast withdrawals."""
        snapshot = await self.reserve_manager.calculate_reserve_snapshot(self.mode)
        return snapshot.status is ReserveStatus.ADEQUATE

    async def get_reserve_balance(self) -> Decimal:
        """Read now and return what can be paid out, in whole units of the share class.

        Raises:
            ReserveUnknownError: If it could not be read.
        """
        return await self.reserve_manager.get_reserve_balance(self.mode)

    async def request_reserve_replenishment(self, amount: Decimal) -> ReplenishmentOutcome:
        """Ask this mode's replenisher for a refill of so much."""
        return await self.reserve_manager.request_reserve_replenishment(self.mode, amount)
