"""How fast a withdrawal may be paid."""

from enum import StrEnum

from reservd.reserve.models import ReserveStatus


class WithdrawalSpeed(StrEnum):
    """How a withdrawal is paid."""

    FAST = "fast"
    """All from the reserve."""
    MEDIUM = "medium"
    """Partly from the reserve, the rest unwound."""
    SLOW = "slow"
    """All unwound."""


_BY_STATUS = {ReserveStatus.ADEQUATE: WithdrawalSpeed.FAST, ReserveStatus.LOW: WithdrawalSpeed.MEDIUM}
_FASTEST_LAST = (WithdrawalSpeed.SLOW, WithdrawalSpeed.MEDIUM, WithdrawalSpeed.FAST)


def withdrawal_speed(raw: ReserveStatus, confirmed: ReserveStatus) -> WithdrawalSpeed:
    """Return the speed that the worse of the two statuses allows; CRITICAL and UNKNOWN are slow.

    Args:
        raw: What the newest snapshot says alone.
        confirmed: What the tracker confirmed; UNKNOWN before anything was.
    """
    speeds = [_BY_STATUS.get(status, WithdrawalSpeed.SLOW) for status in (raw, confirmed)]
    return min(speeds, key=_FASTEST_LAST.index)
