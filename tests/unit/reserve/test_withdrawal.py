import pytest

from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import WithdrawalSpeed, withdrawal_speed

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


@pytest.mark.parametrize(
    ("status", "speed"),
    [
        (ADEQUATE, WithdrawalSpeed.FAST),
        (LOW, WithdrawalSpeed.MEDIUM),
        (CRITICAL, WithdrawalSpeed.SLOW),
        (UNKNOWN, WithdrawalSpeed.SLOW),
    ],
)
def test_withdrawal_is_as_fast_as_the_worse_status_allows(status: ReserveStatus, speed: WithdrawalSpeed) -> None:
    assert withdrawal_speed(status, status) is speed
    assert withdrawal_speed(status, ADEQUATE) is speed
    assert withdrawal_speed(ADEQUATE, status) is speed


def test_withdrawal_is_slow_when_a_single_reading_is_critical_and_the_confirmed_status_low() -> None:
    assert withdrawal_speed(CRITICAL, LOW) is WithdrawalSpeed.SLOW
