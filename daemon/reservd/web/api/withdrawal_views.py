"""The API's representation of withdrawals. Amounts are decimal strings of whole units."""

from typing import Annotated

from pydantic import AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.reserve.holds import Hold
from reservd.reserve.holds.queue import QueuePlace
from reservd.service.withdrawals import WithdrawalQuote
from reservd.web.api.bounds import PositiveAmount, RequestBody
from reservd.wire.withdrawals import SpeedView, WithdrawalView

_MAX_BLOCK = 2**63 - 1


class WithdrawalOrder(RequestBody):
    """A withdrawal to decide."""

    amount: PositiveAmount


class Settlement(RequestBody):
    """How a withdrawal was paid. One of the two is needed."""

    block: Annotated[int | None, Field(ge=0, le=_MAX_BLOCK, strict=True)] = None
    """The block of the payment, if all the mode's accounts are on one chain."""
    paid_at: AwareDatetime | None = None
    """When the payment took effect."""

    @model_validator(mode="after")
    def _tells_when(self) -> "Settlement":
        if self.block is None and self.paid_at is None:
            raise PydanticCustomError("settlement", "must give block or paid_at")
        return self


def show_withdrawal(hold: Hold, place: QueuePlace | None) -> WithdrawalView:
    """Return an accepted withdrawal. Its key belongs to its caller, and is left out.

    Args:
        hold: The stored hold.
        place: Its place in the queue; None when it waits for nothing.
    """
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
        place=place.place if place is not None else None,
        ahead=place.ahead if place is not None else None,
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
