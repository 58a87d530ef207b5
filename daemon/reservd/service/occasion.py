"""Why a strategy is called, and the interface of whatever watches its reserve."""

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
    """Why an execution was called: a request, or where nothing asks for refills, an event.

    Attributes:
        urgency: How fast to unwind.
        amount: How much is asked for, or missing to reach the target; None when unknown.
        currency: The share class, of which it is whole units.
        request: The request; what is told of it is told of this one.
        event: The event.
        asked_before: Of an event, what lacked when the same incident was acted on before, of which some may be on its
            way still: `amount` is the whole that lacks now. None when it was not acted on, or that was not known.
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
    """Where a strategy tells how far a request is: a `RefillDesk`, or a `RemoteDesk`."""

    async def accept(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
        exclusive: bool = False,
    ) -> Replenishment:
        """Tell that the strategy does it; with `exclusive` it is refused when somebody else has it."""

    async def progress(
        self,
        replenishment_id: str,
        *,
        reason: str = "",
        reference: str | None = None,
        expected_by: datetime | None = None,
    ) -> Replenishment:
        """Tell that the strategy is working on it."""

    async def settle(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the money has left."""

    async def fail(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the strategy could not do it."""

    async def reject(self, replenishment_id: str, *, reason: str = "") -> Replenishment:
        """Tell that the strategy will not do it."""


class Reserves(Protocol):
    """What a strategy asks of a `ReserveManager`, or of a `RemoteReserveManager`."""

    @property
    def desk(self) -> StrategyDesk | None:
        """Where it is told how far requests are; None where none are made."""

    def set_reserve_config(self, strategy_mode: str, config: Mapping[str, Any]) -> None:
        """Watch a mode."""

    def add_reserve_callback(
        self, callback: Callable[[ReserveEvent], Awaitable[None] | None], modes: Iterable[str] | None = None
    ) -> None:
        """Call back with every event of some modes."""

    def add_request_callback(
        self, callback: Callable[[ReplenishmentRequest], Awaitable[None]], modes: Iterable[str]
    ) -> None:
        """Call back with every request for a refill of some modes that is for their strategies to take."""

    def has_replenisher(self, strategy_mode: str) -> bool:
        """Whether requests for a mode's refills are made: then its strategy acts on those, and not on events."""

    async def calculate_reserve_snapshot(self, strategy_mode: str) -> ReserveSnapshot:
        """Return how a mode stands."""

    async def get_reserve_balance(self, strategy_mode: str) -> Decimal:
        """Return what a mode can pay out."""

    async def request_reserve_replenishment(self, strategy_mode: str, amount: Decimal) -> ReplenishmentOutcome:
        """Ask a mode's strategy to refill its reserve by an amount."""
