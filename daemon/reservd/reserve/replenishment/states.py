"""The state machine of a request for a refill, and the record of one request."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, computed_field

from reservd.errors import ReplenishmentStateError
from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.models import PlainDecimal
from reservd.reserve.replenishment.models import Acceptance, AcceptanceStatus, ReplenishmentRequest

LONGEST_WAIT = timedelta(days=31)
"""The longest wait for a strategy, whatever it promises."""


class ReplenishmentState(StrEnum):
    """The state of a request for a refill."""

    REQUESTED = "requested"
    """Stored. The strategy may not have it yet, or not have decided."""
    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    SETTLED = "settled"
    """The strategy reports that it is done; the reserve has not seen the money yet."""
    VERIFIED = "verified"
    """The reserve has seen the money."""
    REJECTED = "rejected"
    """The strategy refuses it, or an operator did not approve it."""
    FAILED = "failed"
    """The strategy reports that it could not do it, or can never be asked."""
    EXPIRED = "expired"
    """Its deadline has passed; if it was reported as settled, it is also unknown whether the money arrived."""
    INEFFECTIVE = "ineffective"
    """It was reported as settled, but the reserve has not seen the money in time."""
    CANCELLED = "cancelled"
    """By an operator, or because another request replaces it."""


_S = ReplenishmentState
_WAYS_OUT = frozenset({_S.FAILED, _S.CANCELLED})

TRANSITIONS: Mapping[ReplenishmentState, frozenset[ReplenishmentState]] = {
    # Not to VERIFIED: until the strategy has it, money that arrives comes from elsewhere.
    _S.REQUESTED: _WAYS_OUT | {_S.ACCEPTED, _S.IN_PROGRESS, _S.SETTLED, _S.REJECTED, _S.EXPIRED},
    _S.ACCEPTED: _WAYS_OUT | {_S.IN_PROGRESS, _S.SETTLED, _S.VERIFIED, _S.EXPIRED},
    _S.IN_PROGRESS: _WAYS_OUT | {_S.SETTLED, _S.VERIFIED, _S.EXPIRED},
    _S.SETTLED: _WAYS_OUT | {_S.VERIFIED, _S.INEFFECTIVE, _S.EXPIRED},
    **dict.fromkeys((_S.VERIFIED, _S.REJECTED, _S.FAILED, _S.EXPIRED, _S.INEFFECTIVE, _S.CANCELLED), frozenset()),
}
"""The states that may follow each state."""

OPEN = frozenset(state for state, following in TRANSITIONS.items() if following)
"""The states in which money may still come."""

_WAY = (_S.REQUESTED, _S.ACCEPTED, _S.IN_PROGRESS, _S.SETTLED, _S.VERIFIED)
"""The states of a successful request in order. Repeating an earlier report changes nothing."""


class RequestPlace(NamedTuple):
    """The position of a request among all, by when it was made. Unique."""

    requested_at: datetime
    id: str


class Replenishment(BaseModel):
    """One request for a refill and its progress. Amounts are whole units of the request's currency."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    request: ReplenishmentRequest
    state: ReplenishmentState = ReplenishmentState.REQUESTED
    changed_at: AwareDatetime
    """When it entered its state."""
    deadline: AwareDatetime
    """When it expires, unless the reserve has seen the money."""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived according to the strategy, within a month; null if it did not say."""
    heard: bool = False
    """Whether the strategy has it. Without an answer, it is sent again under the same id."""
    needs_approval: bool = False
    """Whether it must be approved first."""
    approved_by: str | None = None
    released_at: AwareDatetime | None = None
    """When it stopped waiting for approval; null if it never waited, or still does."""
    asked_by: str = ""
    """Who asked for it; empty for reservd itself."""
    reference: str | None = None
    """The strategy's own id of the work."""
    baseline: PlainDecimal | None = None
    """What the accounts held when it was made, holds included; null until that is known."""
    baseline_at: AwareDatetime | None = None
    """When that was true."""
    baseline_block: int | None = None
    """The block that it was read at, if there are blocks."""
    baseline_accounts: str | None = None
    """The name of the accounts that it was read from; null in records without it."""
    counted_at: AwareDatetime | None = None
    """When counting of arrivals started; null for when it was requested."""
    credited_before: dict[str, PlainDecimal] = {}
    """What had arrived for other open requests by then, by their ids; the baseline includes it."""
    arrived: PlainDecimal = ZERO
    """What the reserve has seen of it; may be more than was requested."""
    replaced_by: str | None = None
    """The request that replaces this one."""
    detail: str = ""
    """The reason for its state, in one line for people."""
    by: str = ""
    """Who put it in its state: `strategy`, an operator's name, or empty for reservd."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def id(self) -> str:
        """The request's id, the same as `request.id`."""
        return self.request.id

    @property
    def place(self) -> RequestPlace:
        """Its position among all requests."""
        return RequestPlace(self.request.requested_at, self.id)

    @property
    def open(self) -> bool:
        """Whether money may still come."""
        return self.state in OPEN

    @property
    def held_back(self) -> bool:
        """Whether it waits for approval."""
        return self.open and self.needs_approval and self.approved_by is None

    @property
    def to_be_asked(self) -> bool:
        """Whether its strategy has not heard of it yet, and should."""
        return self.open and not self.heard and not self.held_back

    @property
    def outstanding(self) -> Decimal:
        """The amount still to come; 0 once it has ended."""
        return max(ZERO, subtract(self.request.amount, self.arrived)) if self.open else ZERO

    @property
    def counted_throughout(self) -> bool:
        """Whether arrivals are counted from when it was made; otherwise its money may have come unseen."""
        asked_at = self.released_at or self.request.requested_at
        return self.baseline is not None and (self.counted_at or self.request.requested_at) <= asked_at

    @property
    def acceptance(self) -> Acceptance | None:
        """The strategy's answer so far; None without one."""
        if self.state is _S.REQUESTED and not self.heard:
            return None
        status = AcceptanceStatus.ACCEPTED
        if self.state is _S.REQUESTED:
            status = AcceptanceStatus.PENDING
        elif self.state not in _WAY:
            status = AcceptanceStatus.REJECTED
        by = (self.expected_by or self.deadline) if status is AcceptanceStatus.ACCEPTED else None
        return Acceptance(status=status, reference=self.reference, reason=self.detail, expected_by=by)


def advance(
    record: Replenishment, state: ReplenishmentState, at: datetime, *, by: str = "", detail: str = "", **more: Any
) -> Replenishment:
    """Return the record in another state; the same record if it is already there, or further on.

    Args:
        record: The record before.
        state: The new state.
        at: The time of the change.
        by: Who makes the change.
        detail: The reason.
        more: Other fields that change with it, such as `deadline`, `reference` and `arrived`.

    Raises:
        ReplenishmentStateError: If it cannot change to that state: a rejected request cannot settle.
    """
    if state is record.state or (
        state in _WAY and record.state in _WAY and _WAY.index(state) < _WAY.index(record.state)
    ):
        return record
    if state not in TRANSITIONS[record.state]:
        raise ReplenishmentStateError(f"replenishment {record.id} is {record.state}: it cannot become {state}")
    return record.model_copy(update={"state": state, "changed_at": at, "by": by, "detail": detail, **more})


def check_approval(record: Replenishment) -> None:
    """Check that a request waits for approval, or was approved before, which may be repeated.

    Raises:
        ReplenishmentStateError: If it has ended, or never waited for approval.
    """
    if not record.open or not record.needs_approval:
        what = "does not wait for approval" if record.open else f"is {record.state}"
        raise ReplenishmentStateError(f"replenishment {record.id} {what}: it cannot be approved")


def take_promise(promised: datetime, record: Replenishment) -> datetime:
    """Return the promised arrival to store, limited because some strategies express `never` as a distant year."""
    asked_at = record.request.requested_at
    return min(max(promised, asked_at), asked_at + LONGEST_WAIT)


def wait_until(promised: datetime | None, record: Replenishment, settling: timedelta) -> datetime:
    """Return until when to wait for a request.

    Args:
        promised: When the money should have arrived; None for the request's deadline.
        record: The request.
        settling: How long the reserve may take to see money that has arrived, as it is not read all the time.
    """
    if promised is None:
        return record.deadline
    return take_promise(promised, record) + settling


def expire(record: Replenishment, at: datetime) -> Replenishment:
    """Return the record as expired if its deadline has passed; unchanged before that, or if it has ended."""
    if not record.open or at < record.deadline:
        return record
    untold = "the accounts were not known when it was requested, so it is unknown whether it has arrived"
    if record.state is _S.SETTLED:
        if not record.counted_throughout:
            return advance(record, _S.EXPIRED, at, detail=f"reported as settled; {untold}")
        return advance(record, _S.INEFFECTIVE, at, detail="reported as settled, but it has not arrived in the reserve")
    cannot_tell = record.heard and not record.counted_throughout
    return advance(record, _S.EXPIRED, at, detail=f"its deadline has passed{f'; {untold}' if cannot_tell else ''}")
