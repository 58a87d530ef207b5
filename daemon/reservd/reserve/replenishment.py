"""Whether to ask a strategy for a refill, for how much, and how urgently."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict

from reservd.reserve.amounts import describe, multiply, subtract
from reservd.reserve.models import PlainDecimal, ReserveSnapshot, ReserveStatus


class Urgency(StrEnum):
    """How fast the strategy should unwind."""

    FAST = "fast"
    """For a reserve that is LOW."""
    EMERGENCY = "emergency"
    """For a reserve that is CRITICAL."""


class ReplenishmentRequest(BaseModel):
    """What a strategy is asked for. Amounts are whole units of `currency`, decimal strings in JSON."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    id: str
    """The same on every attempt: a receiver acts once per id."""
    strategy_mode: str
    amount: PlainDecimal
    currency: str
    urgency: Urgency
    requested_at: AwareDatetime
    incident_id: str | None = None
    replaces: str | None = None
    """An earlier request that this one stands in for: its amount is the whole, not an addition."""
    reason: str = ""


class AcceptanceStatus(StrEnum):
    """What a strategy says to a request."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PENDING = "pending"
    """Taken note of, not yet decided."""


class Acceptance(BaseModel):
    """A strategy's answer to a request."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    status: AcceptanceStatus
    reference: str | None = None
    """The strategy's own id of the work."""
    reason: str = ""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived."""


class Inaction(StrEnum):
    """Why no refill is asked for."""

    ADEQUATE = "adequate"
    NO_REPLENISHER = "no_replenisher"
    NOT_CONCLUSIVE = "not_conclusive"
    """The status is UNKNOWN, or the last check did not say."""
    IN_FLIGHT = "in_flight"
    """An earlier request is still expected to arrive."""
    COOLDOWN = "cooldown"
    """The last request failed, was rejected, or ran out a moment ago."""
    STORE_GONE = "store_gone"
    """The store does not take requests down, or another daemon may own it: two might be made of one."""


@dataclass(frozen=True, slots=True)
class ReplenishmentOutcome:
    """What came of asking for a refill; true when a request was made and not rejected.

    Attributes:
        request: What was asked; None when nothing was.
        acceptance: The strategy's answer; None when there was none.
        reason: Why nothing was asked or no answer came; empty otherwise.
    """

    request: ReplenishmentRequest | None
    acceptance: Acceptance | None
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether the strategy has the request."""
        return self.acceptance is not None and self.acceptance.status is not AcceptanceStatus.REJECTED


@dataclass(frozen=True, slots=True)
class RefillPolicy:
    """How a mode is refilled.

    Attributes:
        level: Up to which part of the target.
        cooldown: How long to wait after a request that failed, was rejected or had no effect.
        patience: How long an accepted request without its own deadline is waited for.
    """

    level: Decimal = Decimal("1.1")
    cooldown: timedelta = timedelta(seconds=300)
    patience: timedelta = timedelta(seconds=1800)


@dataclass(frozen=True, slots=True)
class RefillState:
    """What is remembered of a mode's refills between two decisions.

    Attributes:
        open: The request that is in flight.
        delivered: Whether its replenisher answered. One that did not is sent again under its id.
        until: When `open` is given up, or when the cooldown ends; aware UTC.
        earlier: What stands again when `open`, which replaces it, is rejected.
        hurry_rejected: Whether the strategy refused to replace `open` by something more urgent.
    """

    open: ReplenishmentRequest | None = None
    delivered: bool = False
    until: datetime | None = None
    earlier: "RefillState | None" = None
    hurry_rejected: bool = False


def decide_refill(
    snapshot: ReserveSnapshot,
    confirmed: ReserveStatus,
    policy: RefillPolicy,
    state: RefillState,
    *,
    request_id: str,
    incident_id: str | None = None,
) -> ReplenishmentRequest | Inaction:
    """Return the request to make, or why none is made.

    Args:
        snapshot: A check whose step is `actionable`: conclusive, and its amounts not doubted.
        confirmed: The confirmed status; UNKNOWN never asks.
        policy: How the mode is refilled.
        state: What is in flight; see `settle_refill`.
        request_id: The id a new request gets.
        incident_id: The open incident.
    """
    if confirmed is ReserveStatus.ADEQUATE:
        return Inaction.ADEQUATE
    target, balance = snapshot.target_reserve, snapshot.reserve_balance
    if confirmed is ReserveStatus.UNKNOWN or target is None or balance is None:
        return Inaction.NOT_CONCLUSIVE
    urgency = Urgency.EMERGENCY if confirmed is ReserveStatus.CRITICAL else Urgency.FAST
    calm = state.open is not None and state.open.urgency is Urgency.FAST and not state.hurry_rejected
    if not (calm and urgency is Urgency.EMERGENCY):
        if state.open is not None:
            return Inaction.IN_FLIGHT if state.delivered else state.open
        if state.until is not None and snapshot.timestamp < state.until:
            return Inaction.COOLDOWN
    amount = subtract(multiply(policy.level, target), balance)
    if amount <= 0:
        return Inaction.ADEQUATE
    return ReplenishmentRequest(
        id=request_id,
        strategy_mode=snapshot.strategy_mode,
        amount=amount,
        currency=snapshot.share_class,
        urgency=urgency,
        requested_at=snapshot.timestamp,
        incident_id=incident_id,
        replaces=state.open.id if state.open is not None else None,
        reason=(
            f"{describe(balance)} of {describe(target, round_up=True)} {snapshot.share_class} is {confirmed}; "
            f"asked for up to {policy.level} of the target"
        ),
    )


def expire_refill(state: RefillState, confirmed: ReserveStatus, policy: RefillPolicy, now: datetime) -> RefillState:
    """Return the state without what is over: recovered, or waited for in vain."""
    if confirmed is ReserveStatus.ADEQUATE:
        return RefillState()
    if state.open is not None and state.until is not None and now >= state.until:
        return RefillState(until=now + policy.cooldown)
    return state


def settle_refill(
    state: RefillState,
    request: ReplenishmentRequest,
    acceptance: Acceptance | None,
    policy: RefillPolicy,
    now: datetime,
) -> RefillState:
    """Return the state after a request was answered.

    Args:
        state: Before the request.
        request: What was asked.
        acceptance: The answer; None when there was none, so that the same request is sent again.
        policy: How the mode is refilled.
        now: When the answer came.
    """
    if state.open is None or state.open.id != request.id:
        earlier = state if state.open is not None and state.delivered else None
        state = RefillState(open=request, until=now + policy.patience, earlier=earlier)
    if acceptance is None:
        return state
    if acceptance.status is AcceptanceStatus.REJECTED:
        if state.earlier is None:
            return RefillState(until=now + policy.cooldown)
        # What the strategy took before is still on its way: to ask anew would unwind twice.
        return replace(state.earlier, hurry_rejected=True)
    return RefillState(open=request, delivered=True, until=acceptance.expected_by or now + policy.patience)
