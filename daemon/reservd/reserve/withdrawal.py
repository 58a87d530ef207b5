"""Decides how fast a withdrawal may be paid, and how much of it from the reserve."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from reservd.reserve.amounts import ZERO, add, multiply, subtract
from reservd.reserve.models import ADEQUATE, CRITICAL, LOW, UNKNOWN, ReserveStatus


class WithdrawalSpeed(StrEnum):
    """How a withdrawal is paid."""

    FAST = "fast"
    """All from the reserve."""
    MEDIUM = "medium"
    """Partly from the reserve, the rest unwound."""
    SLOW = "slow"
    """All unwound."""


class Refusal(StrEnum):
    """Why a withdrawal was refused: nothing is held for it, and nothing will be paid."""

    OVER_MAXIMUM = "over_maximum"
    """It exceeds the maximum of one withdrawal of the mode."""
    OVER_PERIOD_MAXIMUM = "over_period_maximum"
    """With it, the maximum that the mode accepts within a period would be exceeded."""
    STORE_GONE = "store_gone"
    """The store cannot record holds, or another daemon owns it. Asking again under the same key is safe."""
    BUSY = "busy"
    """Too many withdrawals wait for an answer."""


@dataclass(frozen=True, slots=True)
class WithdrawalPolicy:
    """The rules of one mode for withdrawals.

    Attributes:
        floor: The part of the target that stays in the reserve.
        maximum: The maximum of one withdrawal; None is no limit.
        maximum_per_period: The maximum that is accepted within a period; None is no limit.
        period: How long an accepted amount counts.
        patience: How long a payable withdrawal may stay unpaid before it is overdue.
        unwinding: How long unwinding may take; None if nobody is asked to unwind.
    """

    floor: Decimal = Decimal("0.5")
    maximum: Decimal | None = None
    maximum_per_period: Decimal | None = None
    period: timedelta = timedelta(days=1)
    patience: timedelta = timedelta(hours=1)
    unwinding: timedelta | None = None


class Ground(NamedTuple):
    """The basis of a decision."""

    status: ReserveStatus
    """The worse of the raw and the confirmed status."""
    available: Decimal = ZERO
    """What the accounts hold, less everything that is promised of it."""
    target: Decimal = ZERO
    snapshot_at: datetime | None = None
    """When the snapshot was taken; None when there is none that may be believed."""


class Terms(NamedTuple):
    """How a withdrawal is paid. The two amounts add up to the whole."""

    speed: WithdrawalSpeed
    from_reserve: Decimal
    unwound: Decimal


_BY_STATUS = {ADEQUATE: WithdrawalSpeed.FAST, LOW: WithdrawalSpeed.MEDIUM}


def worse(raw: ReserveStatus, confirmed: ReserveStatus) -> ReserveStatus:
    """Return the worse of two statuses; UNKNOWN is the worst."""
    if UNKNOWN in (raw, confirmed):
        return UNKNOWN
    return max(raw, confirmed, key=lambda status: status.severity)


def withdrawal_speed(raw: ReserveStatus, confirmed: ReserveStatus) -> WithdrawalSpeed:
    """Return the speed that the worse of the two statuses allows; CRITICAL and UNKNOWN are slow.

    Args:
        raw: The status of the newest snapshot alone.
        confirmed: The confirmed status; UNKNOWN before one was confirmed.
    """
    return _BY_STATUS.get(worse(raw, confirmed), WithdrawalSpeed.SLOW)


def decide_withdrawal(amount: Decimal, ground: Ground, policy: WithdrawalPolicy) -> Terms:
    """Return how a withdrawal is paid, by the reserve that remains after it.

    Args:
        amount: Above 0.
        ground: The state of the reserve.
        policy: The rules, with the floor that stays in the reserve.
    """
    if ground.status in (CRITICAL, UNKNOWN):
        return Terms(WithdrawalSpeed.SLOW, ZERO, amount)
    above_floor = subtract(ground.available, multiply(policy.floor, ground.target))
    if ground.status is ADEQUATE and amount <= above_floor:
        return Terms(WithdrawalSpeed.FAST, amount, ZERO)
    from_reserve = max(ZERO, min(amount, above_floor))
    speed = WithdrawalSpeed.MEDIUM if from_reserve else WithdrawalSpeed.SLOW
    return Terms(speed, from_reserve, subtract(amount, from_reserve))


def check_limits(amount: Decimal, accepted: Decimal, policy: WithdrawalPolicy) -> Refusal | None:
    """Return which limit a withdrawal exceeds; None when it exceeds none.

    Args:
        amount: The amount of the withdrawal.
        accepted: What was accepted within the period before it.
        policy: The limits.
    """
    if policy.maximum is not None and amount > policy.maximum:
        return Refusal.OVER_MAXIMUM
    if policy.maximum_per_period is not None and add(accepted, amount) > policy.maximum_per_period:
        return Refusal.OVER_PERIOD_MAXIMUM
    return None
