"""The answers to withdrawal requests. Amounts are whole units of `currency`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from reservd.reserve.amounts import ZERO
from reservd.reserve.holds import Hold
from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import Refusal, WithdrawalSpeed


@dataclass(frozen=True, slots=True)
class WithdrawalQuote:
    """How a withdrawal would be paid if it were requested now. Nothing is held for it.

    Attributes:
        mode: The strategy mode.
        amount: The amount that would be paid.
        currency: The share-class currency.
        speed: How fast.
        from_reserve: The part that the reserve would pay.
        unwound: The rest.
        status: The worse of the raw and the confirmed status.
        expected_at: When all of it should be there; None when unknown.
        expires_at: How long the quote may be shown. Others may be accepted before.
        refusal: Why it would not be accepted at all.
    """

    mode: str
    amount: Decimal
    currency: str
    speed: WithdrawalSpeed
    from_reserve: Decimal
    unwound: Decimal
    status: ReserveStatus
    expected_at: datetime | None
    expires_at: datetime
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class WithdrawalDecision:
    """A decision, which is true when the withdrawal was accepted and its hold is kept.

    Attributes:
        mode: The strategy mode.
        amount: The amount to pay.
        currency: The share-class currency.
        speed: How fast. SLOW when it was not accepted.
        from_reserve: The part that the reserve pays, held from now on.
        unwound: The rest.
        hold: The current hold; None when it was not accepted.
        refusal: Why it was not accepted.
        repeated: Whether it was decided before, under the same key.
    """

    mode: str
    amount: Decimal
    currency: str
    speed: WithdrawalSpeed
    from_reserve: Decimal
    unwound: Decimal
    hold: Hold | None = None
    refusal: Refusal | None = None
    repeated: bool = False

    @classmethod
    def of(cls, hold: Hold, *, repeated: bool = False) -> "WithdrawalDecision":
        """Return the decision that made a hold."""
        return cls(
            hold.mode,
            hold.amount,
            hold.currency,
            hold.speed,
            hold.from_reserve,
            hold.unwound,
            hold,
            repeated=repeated,
        )

    @classmethod
    def refused(cls, mode: str, amount: Decimal, currency: str, refusal: Refusal) -> "WithdrawalDecision":
        """Return a refusal, which promises nothing."""
        return cls(mode, amount, currency, WithdrawalSpeed.SLOW, ZERO, amount, refusal=refusal)

    def __bool__(self) -> bool:
        """Return whether it was accepted."""
        return self.hold is not None


@dataclass(frozen=True, slots=True)
class QueuedWithdrawal:
    """A withdrawal that waits for money. Arriving money goes to the first in the queue.

    Attributes:
        hold: Its hold: `outstanding` is the amount it waits for, `expected_at` when that should be there.
        place: 1 is the first.
        ahead: The amount that those ahead of it wait for.
    """

    hold: Hold
    place: int
    ahead: Decimal


class WithdrawalObserver:
    """Is notified of withdrawals. Methods run on the event loop and must be quick."""

    def decided(self, decision: WithdrawalDecision, seconds: float) -> None:
        """A withdrawal was accepted and stored, or refused, within that many seconds."""

    def overdue(self, by_mode: Mapping[str, int]) -> None:
        """These modes have so many overdue holds, and no other mode has any."""
