"""Holds without a service around them: what the tests of the domain and of the store are written in."""

from datetime import datetime
from decimal import Decimal

from reservd.reserve.holds import GroupReading, Hold, hold_for
from reservd.reserve.withdrawal import Terms, WithdrawalPolicy, WithdrawalSpeed
from support.reserve import NOON


def make_hold(
    position: int,
    from_reserve: object = 10,
    unwound: object = 0,
    *,
    mode: str = "m",
    group: str = "",
    key: str = "",
    at: datetime = NOON,
    policy: WithdrawalPolicy = WithdrawalPolicy(),  # noqa: B008  # it is frozen
) -> Hold:
    """Return a hold as it is when it is accepted."""
    whole = Decimal(str(from_reserve)), Decimal(str(unwound))
    speed = WithdrawalSpeed.FAST if not whole[1] else WithdrawalSpeed.MEDIUM if whole[0] else WithdrawalSpeed.SLOW
    return hold_for(
        f"h-{position}",
        position,
        mode,
        group or mode,
        "USDT",
        Terms(speed, *whole),
        policy,
        key=key or f"k-{position}",
        expected_at=None,
        snapshot_at=None,
        now=at,
    )


def read(balance: object, at: datetime = NOON, block: int | None = None) -> GroupReading:
    """Return a reading of a group of accounts."""
    return GroupReading(Decimal(str(balance)), at, block)
