"""A request to a strategy, the strategy's answer, and the reasons for making no request."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from reservd.reserve.models import PlainDecimal


class Urgency(StrEnum):
    """How fast the strategy should unwind."""

    FAST = "fast"
    """For a reserve that is LOW."""
    EMERGENCY = "emergency"
    """For a reserve that is CRITICAL, and for one that stays LOW because a request had no effect."""


class ReplenishmentRequest(BaseModel):
    """A request to a strategy for a refill. Amounts are whole units of `currency`; in JSON they are decimal strings."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """The same on every attempt, so that a receiver acts only once per id."""
    strategy_mode: str
    amount: PlainDecimal
    currency: str
    urgency: Urgency
    requested_at: AwareDatetime
    incident_id: str | None = None
    replaces: str | None = None
    """The earlier request that this one replaces: this amount is the whole, not an addition."""
    reason: str = ""
    deadline: AwareDatetime | None = None
    """When the request expires, unless the answer names another time."""
    max_loss: PlainDecimal | None = None
    """The largest part of the amount that may be lost by unwinding, 0 to 1; null if there is no limit."""
    withdrawal_id: str | None = None
    """The withdrawal for which it was made; null for a refill of the reserve."""
    epoch: int | None = Field(default=None, ge=1, exclude_if=lambda epoch: epoch is None)
    """The number of the store's owner that sends this. Left out if no daemon owns a store, and in stored requests."""


class AcceptanceStatus(StrEnum):
    """How a strategy answers a request."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"
    """Received, but not decided yet."""


class Acceptance(BaseModel):
    """A strategy's answer to a request."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    status: AcceptanceStatus
    reference: str | None = None
    """The strategy's own id for the work."""
    reason: str = ""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived."""


class ProgressStatus(StrEnum):
    """How far a strategy is with an earlier request."""

    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    SETTLED = "settled"
    """The strategy reports that the money has left; reservd checks whether it arrives in the reserve."""
    REJECTED = "rejected"
    FAILED = "failed"


class Progress(BaseModel):
    """What a strategy reports about an earlier request."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    status: ProgressStatus
    reference: str | None = None
    """The strategy's own id for the work."""
    reason: str = ""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived."""


class Inaction(StrEnum):
    """Why no refill is asked for."""

    ADEQUATE = "adequate"
    NO_REPLENISHER = "no_replenisher"
    NOT_CONCLUSIVE = "not_conclusive"
    """The status is UNKNOWN, or the last check was inconclusive."""
    IN_FLIGHT = "in_flight"
    """An earlier request is still expected to arrive."""
    COVERED = "covered"
    """What is in flight, also for withdrawals, is enough."""
    AWAITING_APPROVAL = "awaiting_approval"
    """A request has been made, and waits for `reservd replenishments approve`."""
    COOLDOWN = "cooldown"
    """The last request failed, was rejected, or expired a moment ago."""
    BACKOFF = "backoff"
    """The same after several in a row: the wait doubles with each."""
    BELOW_MINIMUM = "below_minimum"
    """The missing amount is below the minimum of a request."""
    ABOVE_MAXIMUM = "above_maximum"
    """The requested amount is above the maximum of a request."""
    TOO_PRECISE = "too_precise"
    """The requested amount has more decimals than a request may have."""
    BUDGET_AMOUNT = "budget_amount"
    """The amount that may be requested within the period is used up."""
    BUDGET_COUNT = "budget_count"
    """The number of requests within the period has reached its limit."""
    DRY_RUN = "dry_run"
    """A request would be made, but the mode only logs it."""
    STORE_GONE = "store_gone"
    """The store cannot record requests, or another daemon may own it: two requests might be made of one."""
    UNREADABLE = "unreadable"
    """The store has a request on these accounts that cannot be read, and its strategy may bring the money."""


@dataclass(frozen=True, slots=True)
class ReplenishmentOutcome:
    """The outcome of asking for a refill; true when a request was made and not rejected.

    Attributes:
        request: The request; None when none was made.
        acceptance: The strategy's answer; None when there was none.
        reason: Why no request was made or no answer came; empty otherwise.
    """

    request: ReplenishmentRequest | None
    acceptance: Acceptance | None
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether a request was made and not rejected."""
        return self.acceptance is not None and self.acceptance.status is not AcceptanceStatus.REJECTED


@dataclass(frozen=True, slots=True)
class RefillPolicy:
    """How a mode is refilled. Amounts are whole units of the share class.

    Attributes:
        level: The part of the target up to which to refill.
        minimum: The smallest amount of a request; None for any amount.
        maximum: The largest amount of a request; None for any amount.
        decimals: The number of decimals to which amounts are rounded; None for no rounding.
        in_flight: How many requests may be open at a time, not counting those for withdrawals.
        cooldown: How long to wait after a request that failed, was rejected or had no effect.
        longest_cooldown: The longest such wait: it doubles after each in a row, up to this.
        patience: How long to wait for a refill when the strategy's answer names no time.
        settling: How long the reserve may take to see money that is reported as settled, or expected by a time.
        tolerance: The part of an amount that may be missing when it counts as arrived.
        budget_period: The period of the budgets.
        budget_amount: The largest total of requests within it; None for any amount.
        budget_count: The largest number of requests within it; None for any number.
        max_loss: The largest part of an amount that may be lost by unwinding; passed on to the strategy.
        approval_above: The amount above which an emergency waits for approval; None for never.
        dry_run: Only log what would be requested.
    """

    level: Decimal = Decimal("1.1")
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    decimals: int | None = None
    in_flight: int = 1
    cooldown: timedelta = timedelta(seconds=300)
    longest_cooldown: timedelta = timedelta(seconds=3600)
    patience: timedelta = timedelta(seconds=1800)
    settling: timedelta = timedelta(seconds=300)
    tolerance: Decimal = Decimal("0.01")
    budget_period: timedelta = timedelta(days=1)
    budget_amount: Decimal | None = None
    budget_count: int | None = None
    max_loss: Decimal | None = None
    approval_above: Decimal | None = None
    dry_run: bool = False

    def needs_approval(self, request: ReplenishmentRequest) -> bool:
        """Return whether a request must be approved before it is made."""
        large = self.approval_above is not None and request.amount > self.approval_above
        return large and request.urgency is Urgency.EMERGENCY

    def remembers(self, ended_at: datetime, now: datetime) -> bool:
        """Return whether a request that ended at a time may still matter to a decision."""
        return now - ended_at <= max(self.budget_period, self.longest_cooldown)
