"""The message a consumer receives: CloudEvents 1.0 around a reserve event."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from reservd.reserve.models import ReserveEvent
from reservd.reserve.replenishment.event import ReplenishmentEvent


class Envelope(BaseModel):
    """The common fields of all messages: the attributes of CloudEvents 1.0, with its sequence extension."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    specversion: Literal["1.0"] = "1.0"
    id: str
    """The same on every delivery of this event, so that receivers can ignore repeats."""
    source: str
    """Where the event comes from, such as `/reservd/modes/<mode>`."""
    type: str
    """The type of the event, such as `reservd.reserve_low.v1`."""
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    subject: str
    """The mode."""
    sequence: str
    """Counts the events of this source; a string, as CloudEvents requires."""
    epoch: int | None = Field(default=None, ge=1, exclude_if=lambda epoch: epoch is None)
    """The number of the store's owner that sends this. Left out if no daemon owns a store."""

    def to_json(self) -> bytes:
        """Return the structured-mode JSON, amounts as decimal strings."""
        return self.model_dump_json().encode()


class CloudEvent(Envelope):
    """A reserve event in its CloudEvents 1.0 envelope."""

    data: ReserveEvent


class ReplenishmentMessage(Envelope):
    """A change of a request for a refill in its CloudEvents 1.0 envelope.

    Its source is `/reservd/modes/<mode>/replenishments`. It has its own sequence, so that the sequence of a mode's
    reserve events has no gaps.
    """

    data: ReplenishmentEvent
