"""What the API takes and tells of withdrawals. Amounts are decimal strings of whole units."""

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.reserve.holds import Hold, HoldState, Unwinding
from reservd.reserve.models import PlainDecimal, ReserveStatus
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed
from reservd.service.withdrawal_answers import WithdrawalQuote
from reservd.web.api.bounds import PositiveAmount
from reservd.web.api.views import Order, View

_MAX_BLOCK = 2**63 - 1


class WithdrawalOrder(Order):
    """A withdrawal that is asked for."""

    amount: PositiveAmount


class Settlement(Order):
    """How a withdrawal was paid; one of the two is needed."""

    block: Annotated[int | None, Field(ge=0, le=_MAX_BLOCK)] = None
    """The block that the payment is in, where the mode's accounts are on one chain alone."""
    paid_at: AwareDatetime | None = None
    """When it took effect."""

    @model_validator(mode="after")
    def _tells_when(self) -> "Settlement":
        if self.block is None and self.paid_at is None:
            raise PydanticCustomError("settlement", "must give block or paid_at")
        return self


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
    """How much of that is there, and held."""
    speed: WithdrawalSpeed
    state: HoldState
    unwinding: Unwinding
    """What became of the request for the part to unwind."""
    decided_at: AwareDatetime
    overdue_at: AwareDatetime
    expected_at: AwareDatetime | None
    """When all of it should be there; null when nobody can tell."""
    ended_at: AwareDatetime | None
    paid_at: AwareDatetime | None
    block: int | None


class WithdrawalPage(View):
    """Some withdrawals, newest first."""

    items: list[WithdrawalView]
    next_cursor: int | None
    """For the next page; null on the last."""


class SpeedView(View):
    """How a mode would pay now. Nothing is held for it."""

    mode: str
    speed: WithdrawalSpeed
    amount: PlainDecimal | None = None
    """What was asked about; what follows is null without it."""
    currency: str | None = None
    from_reserve: PlainDecimal | None = None
    unwound: PlainDecimal | None = None
    status: ReserveStatus | None = None
    """The worse of the raw and the confirmed one."""
    expected_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    """Until when this may be shown; others may be accepted before."""
    refusal: Refusal | None = None
    """Why it would not be accepted at all."""


def show_withdrawal(hold: Hold) -> WithdrawalView:
    """Return an accepted withdrawal. The key that it was asked for under is its caller's, and stays out."""
    return WithdrawalView(
        id=hold.id,
        mode=hold.mode,
        currency=hold.currency,
        amount=hold.amount,
        from_reserve=hold.from_reserve,
        unwound=hold.unwound,
        arrived=hold.arrived,
        speed=hold.speed,
        state=hold.state,
        unwinding=hold.unwinding,
        decided_at=hold.decided_at,
        overdue_at=hold.overdue_at,
        expected_at=hold.expected_at,
        ended_at=hold.ended_at,
        paid_at=hold.paid_at,
        block=hold.block,
    )


def show_quote(quote: WithdrawalQuote) -> SpeedView:
    """Return how a withdrawal would be paid."""
    return SpeedView(
        mode=quote.mode,
        speed=quote.speed,
        amount=quote.amount,
        currency=quote.currency,
        from_reserve=quote.from_reserve,
        unwound=quote.unwound,
        status=quote.status,
        expected_at=quote.expected_at,
        expires_at=quote.expires_at,
        refusal=quote.refusal,
    )
