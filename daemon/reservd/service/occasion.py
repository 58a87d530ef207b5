"""Why a strategy is called, and the interfaces of what watches its reserve."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.replenishment import ReplenishmentOutcome, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import Replenishment


@dataclass(frozen=True, slots=True)
class Occasion:
    """Why an execution was called: a request or, if nothing requests refills for the mode, an event.

    Attributes:
        urgency: How fast to unwind.
        amount: The requested amount, or the amount missing to reach the target; None when unknown.
        currency: The share class. Amounts are whole units of it.
        request: The request; reports are about this one.
        event: The event.
        asked_before: For an event, the shortfall when the same incident was last acted on, part of which may still be
            on its way: `amount` is the whole current shortfall. None if it was not acted on, or the shortfall was
            unknown.
    """

    urgency: Urgency
    amount: Decimal | None
    currency: str
    request: ReplenishmentRequest | None = None
    event: ReserveEvent | None = None
    asked_before: Decimal | None = None

    @property
    def id(self) -> str:
        """The id of the request or of the event."""
        if self.request is not None:
            return self.request.id
        return "" if self.event is None else self.event.id


class StrategyDesk(Protocol):
    """Where a strategy reports the progress of a request: a `RefillDesk`, or a `RemoteDesk`."""

    async def accept(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
        exclusive: bool = False,
    ) -> Replenishment:
        """Report that the strategy accepts the request; with `exclusive`, refused if somebody else has accepted it."""

    async def progress(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
    ) -> Replenishment:
        """Report that the strategy is working on the request."""

    async def settle(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the money was sent."""

    async def fail(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the strategy failed to carry out the request."""

    async def reject(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Report that the strategy rejects the request."""


class Reserves(Protocol):
    """What a strategy needs of a `ReserveManager` or a `RemoteReserveManager`."""

    @property
    def desk(self) -> StrategyDesk | None:
        """Where progress of requests is reported; None if no requests are made."""

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any]) -> None:
        """Watch a mode."""

    def add_reserve_callback(
        self, callback: Callable[[ReserveEvent], Awaitable[None] | None], modes: Iterable[str] | None = None
    ) -> None:
        """Call back with every event of some modes."""

    def add_request_callback(
        self, callback: Callable[[ReplenishmentRequest], Awaitable[None]], modes: Iterable[str]
    ) -> None:
        """Call back with every request for a refill of these modes that their strategies should take."""

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Return whether refills of a mode are requested: if so, its strategy acts on requests, not on events."""

    async def calculate_reserve_snapshot(self, strategy_mode: str) -> ReserveSnapshot:
        """Return the state of a mode."""

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Return what a mode can pay out."""

    async def request_reserve_replenishment(self, strategy_mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Request a refill of an amount from a mode's strategy."""
