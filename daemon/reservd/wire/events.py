"""The API's form of events and their deliveries."""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime

from reservd.errors import FailureReason
from reservd.reserve.models import EventType
from reservd.wire.envelope import CloudEvent, ReplenishmentMessage
from reservd.wire.explanations import ExplanationView
from reservd.wire.view import View

AnyEventType = EventType | Literal["replenishment_changed"]
"""The types of events: about a reserve, or about a request for a refill."""


class DeliveryState(StrEnum):
    """The state of an event at a sink."""

    PENDING = "pending"
    """It waits for its first attempt or a retry."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """The sink refused it permanently, or it is too old: see `reservd events dead-letters`."""
    SUPERSEDED = "superseded"
    """A reminder that was followed by a newer status or a newer reminder."""
    SILENCED = "silenced"
    """An operator's silence was in effect."""


class DeliveryView(View):
    """The delivery of an event to one sink."""

    sink: str
    state: DeliveryState
    attempts: int
    tried_at: AwareDatetime | None
    reason: FailureReason | None
    """Why the last attempt failed."""


class EventView(View):
    """An event as a consumer would receive it now, and its deliveries."""

    event: CloudEvent | ReplenishmentMessage
    deliveries: list[DeliveryView]


class EventDetail(EventView):
    """The same, with the inputs of the check that led to it."""

    explanation: ExplanationView | None = None
    """Null if it was not stored, as by an older reservd, and for changes of requests for refills."""


class EventPage(View):
    """Some events, newest first."""

    items: list[EventView]
    next_cursor: int | None
    """The cursor of the next page; null on the last."""
