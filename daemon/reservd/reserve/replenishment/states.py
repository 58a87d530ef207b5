"""The life of a request for a refill: a state machine, and the record of one request."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict

from reservd.errors import ReplenishmentStateError
from reservd.reserve.amounts import ZERO, subtract
from reservd.reserve.models import PlainDecimal
from reservd.reserve.replenishment.models import Acceptance, AcceptanceStatus, ReplenishmentRequest

LONGEST_WAIT = timedelta(days=31)
"""No strategy is waited for longer, whatever it promises."""


class ReplenishmentState(StrEnum):
    """Where a request for a refill is."""

    REQUESTED = "requested"
    """It is stored. The strategy may not have it yet, or not have decided."""
    ACCEPTED = "accepted"
    IN_PROGRESS = "in_progress"
    SETTLED = "settled"
    """The strategy says that it is done; the reserve has not seen it yet."""
    VERIFIED = "verified"
    """The reserve has seen the money."""
    REJECTED = "rejected"
    """The strategy will not do it, or an operator did not approve."""
    FAILED = "failed"
    """The strategy says that it could not, or can never be asked."""
    EXPIRED = "expired"
    """Its deadline has passed; of one that was said to be settled: and nobody can tell whether it arrived."""
    INEFFECTIVE = "ineffective"
    """It was said to be settled, and the reserve has not seen it in time."""
    CANCELLED = "cancelled"
    """By an operator, or because another request stands in for it."""


_S = ReplenishmentState
_WAYS_OUT = frozenset({_S.FAILED, _S.CANCELLED})

TRANSITIONS: Mapping[ReplenishmentState, frozenset[ReplenishmentState]] = {
    # Not to VERIFIED: until the strategy has it, what arrives is somebody else's.
    _S.REQUESTED: _WAYS_OUT | {_S.ACCEPTED, _S.IN_PROGRESS, _S.SETTLED, _S.REJECTED, _S.EXPIRED},
    _S.ACCEPTED: _WAYS_OUT | {_S.IN_PROGRESS, _S.SETTLED, _S.VERIFIED, _S.EXPIRED},
    _S.IN_PROGRESS: _WAYS_OUT | {_S.SETTLED, _S.VERIFIED, _S.EXPIRED},
    _S.SETTLED: _WAYS_OUT | {_S.VERIFIED, _S.INEFFECTIVE, _S.EXPIRED},
    **dict.fromkeys((_S.VERIFIED, _S.REJECTED, _S.FAILED, _S.EXPIRED, _S.INEFFECTIVE, _S.CANCELLED), frozenset()),
}
"""Where each state may lead."""

OPEN = frozenset(state for state, following in TRANSITIONS.items() if following)
"""The states from which money may still come."""

_WAY = (_S.REQUESTED, _S.ACCEPTED, _S.IN_PROGRESS, _S.SETTLED, _S.VERIFIED)
"""The way of a request that goes well. Who says again what was said before changes nothing."""


class RequestPlace(NamedTuple):
    """Where a request stands among all, by when it was made; no two stand at the same place."""

    requested_at: datetime
    id: str


class Replenishment(BaseModel):
    """One request for a refill and what became of it. Amounts are whole units of the request's currency."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    request: ReplenishmentRequest
    state: ReplenishmentState = ReplenishmentState.REQUESTED
    changed_at: AwareDatetime
    """When it came to its state."""
    deadline: AwareDatetime
    """When it is given up: until then the reserve must have seen the money."""
    expected_by: AwareDatetime | None = None
    """When the money should have arrived, as the strategy says, within a month; null when it did not say."""
    heard: bool = False
    """Whether the strategy has it. One that did not answer is asked again under the same id."""
    needs_approval: bool = False
    """Whether it waits until somebody approves it."""
    approved_by: str | None = None
    released_at: AwareDatetime | None = None
    """When it had to wait for approval no longer; null of one that never waited, or still does."""
    asked_by: str = ""
    """Who asked for it; empty when reservd decided it."""
    reference: str | None = None
    """The strategy's own id of the work."""
    baseline: PlainDecimal | None = None
    """What the accounts held when it was asked for, holds included; null until that could be told."""
    baseline_at: AwareDatetime | None = None
    """When that was true."""
    baseline_block: int | None = None
    """The block that it was read at, where there are blocks."""
    baseline_accounts: str | None = None
    """The name of the accounts that it was read of; null of a record that does not tell."""
    counted_at: AwareDatetime | None = None
    """From when on arrivals are counted; null for when it was requested."""
    credited_before: dict[str, PlainDecimal] = {}
    """What had arrived for other open requests by then, by their ids: it is in the baseline."""
    arrived: PlainDecimal = ZERO
    """What the reserve has seen of it; may be more than was asked for."""
    replaced_by: str | None = None
    """The request that stands in for this one."""
    detail: str = ""
    """Why it is where it is, in one line for people."""
    by: str = ""
    """Who brought it there: `strategy`, an operator's name, or empty for reservd."""

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def place(self) -> RequestPlace:
        """Where it stands among all requests."""
        return RequestPlace(self.request.requested_at, self.id)

    @property
    def open(self) -> bool:
        """Whether money may still come."""
        return self.state in OPEN

    @property
    def held_back(self) -> bool:
        """Whether it waits for somebody's approval."""
        return self.open and self.needs_approval and self.approved_by is None

    @property
    def to_be_asked(self) -> bool:
        """Whether its strategy is yet to hear of it."""
        return self.open and not self.heard and not self.held_back

    @property
    def outstanding(self) -> Decimal:
        """What is still to come: 0 when it has ended."""
        return max(ZERO, subtract(self.request.amount, self.arrived)) if self.open else ZERO

    @property
    def counted_throughout(self) -> bool:
        """Whether all that came in since it was asked for is counted; otherwise its money may have come unseen."""
        asked_at = self.released_at or self.request.requested_at
        return self.baseline is not None and (self.counted_at or self.request.requested_at) <= asked_at

    @property
    def acceptance(self) -> Acceptance | None:
        """What the strategy has answered so far; None when nothing."""
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
    """Return the record in another state; the same record when it was there already, or is further on its way.

    Args:
        record: Before.
        state: Where it goes.
        at: When.
        by: Who brings it there.
        detail: Why.
        more: Other fields that change with it, as `deadline`, `reference` and `arrived`.

    Raises:
        ReplenishmentStateError: If it cannot go there: what was rejected is not settled.
    """
    if state is record.state or (
        state in _WAY and record.state in _WAY and _WAY.index(state) < _WAY.index(record.state)
    ):
        return record
    if state not in TRANSITIONS[record.state]:
        raise ReplenishmentStateError(f"replenishment {record.id} is {record.state}: it cannot become {state}")
    return record.model_copy(update={"state": state, "changed_at": at, "by": by, "detail": detail, **more})


def check_approval(record: Replenishment) -> None:
    """Refuse to approve what waits for no approval; what was approved before may be approved again.

    Raises:
        ReplenishmentStateError: If it has ended, or never waited for any.
    """
    if not record.open or not record.needs_approval:
        what = "waits for no approval" if record.open else f"is {record.state}"
        raise ReplenishmentStateError(f"replenishment {record.id} {what}: it cannot be approved")


def take_promise(promised: datetime, record: Replenishment) -> datetime:
    """Return what is kept of when a strategy says that the money will have arrived: some say `never` by a far year."""
    asked_at = record.request.requested_at
    return min(max(promised, asked_at), asked_at + LONGEST_WAIT)


def wait_until(promised: datetime | None, record: Replenishment, settling: timedelta) -> datetime:
    """Return until when a request is waited for.

    Args:
        promised: When the money should have arrived; None for the deadline that it has.
        record: The request.
        settling: How long the reserve may take to see what has arrived: it does not look all the time.
    """
    if promised is None:
        return record.deadline
    return take_promise(promised, record) + settling


def expire(record: Replenishment, at: datetime) -> Replenishment:
    """Return the record as it is once its deadline has passed; the same before, or when it has ended."""
    if not record.open or at < record.deadline:
        return record
    untold = "the accounts were not known when it was asked for: whether it has arrived cannot be told"
    if record.state is _S.SETTLED:
        if not record.counted_throughout:
            return advance(record, _S.EXPIRED, at, detail=f"said to be settled; {untold}")
        return advance(record, _S.INEFFECTIVE, at, detail="said to be settled, and the reserve has not seen it")
    cannot_tell = record.heard and not record.counted_throughout
    return advance(record, _S.EXPIRED, at, detail=f"its deadline has passed{f'; {untold}' if cannot_tell else ''}")
