"""The speed of a withdrawal, and its part from the reserve."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.models import ReserveStatus
from reservd.reserve.withdrawal import (
    Ground,
    Refusal,
    Terms,
    WithdrawalPolicy,
    WithdrawalSpeed,
    check_limits,
    decide_withdrawal,
    withdrawal_speed,
)

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
FAST, MEDIUM, SLOW = WithdrawalSpeed
POLICY = WithdrawalPolicy(floor=Decimal("0.5"))
amounts = st.decimals(min_value=0, max_value=10**30, places=18, allow_nan=False).map(abs)


@pytest.mark.parametrize(("status", "speed"), [(ADEQUATE, FAST), (LOW, MEDIUM), (CRITICAL, SLOW), (UNKNOWN, SLOW)])
def test_withdrawal_is_as_fast_as_the_worse_status_allows(status: ReserveStatus, speed: WithdrawalSpeed) -> None:
    assert withdrawal_speed(status, status) is speed
    assert withdrawal_speed(status, ADEQUATE) is speed
    assert withdrawal_speed(ADEQUATE, status) is speed


def test_withdrawal_is_slow_when_a_single_reading_is_critical_and_the_confirmed_status_low() -> None:
    assert withdrawal_speed(CRITICAL, LOW) is SLOW


def test_withdrawal_is_slow_when_one_of_the_statuses_is_unknown() -> None:
    assert withdrawal_speed(UNKNOWN, CRITICAL) is withdrawal_speed(CRITICAL, UNKNOWN) is SLOW


@pytest.mark.parametrize(
    ("status", "available", "amount", "speed", "from_reserve"),
    [
        (ADEQUATE, 110, 60, FAST, 60),  # exactly the floor of 50 remains
        (ADEQUATE, 110, 61, MEDIUM, 60),
        (ADEQUATE, 50, 1, SLOW, 0),
        (ADEQUATE, 40, 1, SLOW, 0),  # below the floor nothing is taken, and nothing is owed
        (ADEQUATE, -5, 1, SLOW, 0),
        (LOW, 80, 10, MEDIUM, 10),  # all from the reserve, but not fast
        (LOW, 80, 40, MEDIUM, 30),
        (LOW, 50, 40, SLOW, 0),
        (CRITICAL, 1000, 1, SLOW, 0),
        (UNKNOWN, 1000, 1, SLOW, 0),
    ],
)
def test_withdrawal_is_decided_on_the_reserve_after_it(
    status: ReserveStatus, available: int, amount: int, speed: WithdrawalSpeed, from_reserve: int
) -> None:
    terms = decide_withdrawal(Decimal(amount), Ground(status, Decimal(available), Decimal(100)), POLICY)
    assert terms == Terms(speed, Decimal(from_reserve), Decimal(amount - from_reserve))


@given(st.sampled_from(ReserveStatus), amounts, amounts, amounts.filter(bool), st.decimals(0, 2, places=4))
def test_withdrawal_never_takes_more_than_lies_above_the_floor(
    status: ReserveStatus, available: Decimal, target: Decimal, amount: Decimal, floor: Decimal
) -> None:
    terms = decide_withdrawal(amount, Ground(status, available, target), replace(POLICY, floor=floor))
    assert terms.from_reserve + terms.unwound == amount
    assert terms.from_reserve >= 0
    assert terms.unwound >= 0
    if terms.from_reserve:
        assert status in (ADEQUATE, LOW)
        assert available - terms.from_reserve >= floor * target
    assert (terms.speed is FAST) == (status is ADEQUATE and available - amount >= floor * target)
    assert (terms.speed is SLOW) == (not terms.from_reserve)


@given(amounts, amounts, amounts.filter(bool), amounts)
def test_withdrawal_is_never_faster_when_less_is_there_or_more_is_wanted(
    available: Decimal, target: Decimal, amount: Decimal, more: Decimal
) -> None:
    order = [SLOW, MEDIUM, FAST]
    for status in (ADEQUATE, LOW):
        one = decide_withdrawal(amount, Ground(status, available, target), POLICY)
        poorer = decide_withdrawal(amount, Ground(status, available - more, target), POLICY)
        larger = decide_withdrawal(amount + more, Ground(status, available, target), POLICY)
        assert order.index(poorer.speed) <= order.index(one.speed)
        assert order.index(larger.speed) <= order.index(one.speed)


@pytest.mark.parametrize(
    ("amount", "accepted", "refusal"),
    [
        (10, 0, None),
        (11, 0, Refusal.OVER_MAXIMUM),
        (10, 15, None),
        (10, 16, Refusal.OVER_PERIOD_MAXIMUM),
    ],
)
def test_withdrawal_is_refused_when_it_is_over_a_limit(amount: int, accepted: int, refusal: Refusal | None) -> None:
    policy = replace(POLICY, maximum=Decimal(10), maximum_per_period=Decimal(25))
    assert check_limits(Decimal(amount), Decimal(accepted), policy) is refusal


def test_withdrawal_of_any_size_is_within_limits_when_there_are_none() -> None:
    assert check_limits(Decimal(10**30), Decimal(10**30), POLICY) is None
