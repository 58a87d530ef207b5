"""The API's form of withdrawals. Amounts are decimal strings of whole units, times ISO 8601 in UTC."""

from pydantic import AwareDatetime

from reservd.reserve.holds import HoldState, Unwinding
from reservd.reserve.models import PlainDecimal, ReserveStatus
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.wire.view import View


class WithdrawalView(View):
    """An accepted withdrawal, and what is held for it."""

    id: str
    mode: str
    currency: str
    amount: PlainDecimal
    from_reserve: PlainDecimal
    """The part that the reserve pays, held since it was accepted."""
    unwound: PlainDecimal
    """The rest, for which money has to arrive."""
    arrived: PlainDecimal
    """The part of it that has arrived and is held."""
    speed: WithdrawalSpeed
    state: HoldState
    unwinding: Unwinding
    """The state of the request for the part to unwind."""
    decided_at: AwareDatetime
    overdue_at: AwareDatetime
    expected_at: AwareDatetime | None
    """When all of it should be there; null when unknown."""
    place: int | None = None
    """Its place in the queue for money on the accounts, 1 is the first; null when it waits for nothing."""
    ahead: PlainDecimal | None = None
    """The amount that those ahead of it in the queue wait for; null when it waits for nothing."""
    ended_at: AwareDatetime | None
    paid_at: AwareDatetime | None
    block: int | None


class WithdrawalPage(View):
    """Some withdrawals, newest first."""

    items: list[WithdrawalView]
    next_cursor: int | None
    """The cursor of the next page; null on the last."""


class SpeedView(View):
    """How a mode would pay now. Nothing is held for it."""

    mode: str
    speed: WithdrawalSpeed
    amount: PlainDecimal | None = None
    """The amount in question; without it, the following fields are null."""
    currency: str | None = None
    from_reserve: PlainDecimal | None = None
    unwound: PlainDecimal | None = None
    status: ReserveStatus | None = None
    """The worse of the raw and the confirmed status."""
    expected_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    """How long the quote may be shown; others may be accepted before."""
    refusal: Refusal | None = None
    """Why it would not be accepted at all."""
