"""The event that is published when a request for a refill changes."""

from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from reservd.reserve.models import PlainDecimal, ReserveEvent
from reservd.reserve.replenishment.models import Urgency
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState

REPLENISHMENT_CHANGED = "replenishment_changed"


class Approval(StrEnum):
    """Whether somebody has to approve a request."""

    NOT_NEEDED = "not_needed"
    AWAITED = "awaited"
    GIVEN = "given"


class ReplenishmentEvent(BaseModel):
    """A change of a request for a refill. Amounts are whole units of `currency`; in JSON they are decimal strings."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    event_type: Literal["replenishment_changed"] = "replenishment_changed"
    strategy_mode: str
    """The mode."""
    timestamp: AwareDatetime
    """When it changed."""
    id: str
    """The same on every delivery of this event."""
    sequence: int = Field(ge=1)
    """Counts the changes of all requests of this mode; the mode's reserve events are counted separately."""
    replenishment_id: str
    """The request's id: the same in all of its events, and in the request that the strategy received."""
    state: ReplenishmentState
    """The state of the request."""
    previous_state: ReplenishmentState | None
    """Its state before; null in its first event."""
    amount: PlainDecimal
    """The requested amount."""
    arrived: PlainDecimal
    """The amount that has arrived in the reserve; it may be more than was requested."""
    currency: str
    """The share-class currency."""
    urgency: Urgency
    """How fast the strategy should unwind."""
    deadline: AwareDatetime
    """When the request expires."""
    approval: Approval
    """Whether somebody has to approve it, or has approved it."""
    incident_id: str | None
    """The incident for which it was made; null if there is none."""
    withdrawal_id: str | None
    """The withdrawal for which it was made; null for a refill of the reserve."""
    replaces: str | None
    """The request that this one replaces."""
    replaced_by: str | None
    """The request that replaces this one."""
    reference: str | None
    """The strategy's own id for the work."""
    reason: str
    """Why the request was made, in one line for people."""
    detail: str
    """Why it is in this state, in one line for people."""
    by: str
    """Who changed it: `strategy`, an operator's name, or empty for reservd."""

    @property
    def reminder(self) -> bool:
        """Changes are said once."""
        return False


AnyEvent = ReserveEvent | ReplenishmentEvent
"""All events that sinks may receive."""


class ReplenishmentChange(NamedTuple):
    """A change to store: the record after it, and the event about it."""

    record: Replenishment
    event: ReplenishmentEvent


def tell_change(
    record: Replenishment, previous: ReplenishmentState | None, event_id: str, sequence: int
) -> ReplenishmentEvent:
    """Return the event about a change of a request.

    Args:
        record: The request after the change.
        previous: Its state before; None when it was just made.
        event_id: The id of the event.
        sequence: Its number among the mode's.
    """
    request = record.request
    approval = Approval.NOT_NEEDED
    if record.needs_approval:
        approval = Approval.AWAITED if record.approved_by is None else Approval.GIVEN
    return ReplenishmentEvent(
        strategy_mode=request.strategy_mode,
        timestamp=record.changed_at,
        id=event_id,
        sequence=sequence,
        replenishment_id=request.id,
        state=record.state,
        previous_state=previous,
        amount=request.amount,
        arrived=record.arrived,
        currency=request.currency,
        urgency=request.urgency,
        deadline=record.deadline,
        approval=approval,
        incident_id=request.incident_id,
        withdrawal_id=request.withdrawal_id,
        replaces=request.replaces,
        replaced_by=record.replaced_by,
        reference=record.reference,
        reason=request.reason,
        detail=record.detail,
        by=record.by,
    )
