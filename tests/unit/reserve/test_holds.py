"""The life of a hold from acceptance to its end, and which readings still show its money."""

from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.errors import WithdrawalStateError
from reservd.reserve.holds import (
    GroupReading,
    HoldState,
    Unwinding,
    cancel,
    expect,
    hash_request,
    is_older,
    is_shown,
    mark_paying,
    read_group,
    settle,
)
from reservd.reserve.readings import Balance
from reservd.reserve.withdrawal import Terms, WithdrawalPolicy, WithdrawalSpeed
from support.holds import make_hold, read
from support.reserve import NOON

MINUTE = timedelta(minutes=1)
POLICY = WithdrawalPolicy(patience=timedelta(hours=1), unwinding=timedelta(hours=2))


def test_hold_is_held_until_its_payment_is_sent_and_told() -> None:
    hold = make_hold(1, 10, 5, policy=POLICY)
    assert (hold.state, hold.open, hold.amount, hold.held, hold.outstanding) == (HoldState.HELD, True, 15, 10, 5)
    assert hold.unwinding is Unwinding.DUE
    paying = mark_paying(hold)
    assert paying.state is mark_paying(paying).state is HoldState.PAYING
    settled = settle(paying, NOON + MINUTE, block=7)
    assert (settled.state, settled.open, settled.outstanding, settled.ended_at) == ("settled", False, 0, NOON + MINUTE)


def test_hold_is_overdue_when_its_time_has_passed_and_it_has_not_ended() -> None:
    fast, slow = make_hold(1, 10, policy=POLICY), make_hold(2, 0, 10, policy=POLICY)
    assert not fast.is_overdue(NOON + timedelta(hours=1))
    assert fast.is_overdue(NOON + timedelta(hours=1, seconds=1))
    assert not slow.is_overdue(NOON + timedelta(hours=3))  # without what is unwound
    assert slow.is_overdue(NOON + timedelta(hours=3, seconds=1))
    assert not cancel(fast, NOON).is_overdue(NOON + timedelta(days=1))


def test_hold_may_be_told_the_same_end_again_and_no_other() -> None:
    settled = settle(make_hold(1), NOON, paid_at=NOON)
    assert settle(settled, NOON + MINUTE, paid_at=NOON) == settled
    cancelled = cancel(make_hold(2), NOON)
    assert cancel(cancelled, NOON + MINUTE) == cancelled
    with pytest.raises(WithdrawalStateError, match="must be open to be settled, is settled"):
        settle(settled, NOON, block=7)
    with pytest.raises(WithdrawalStateError, match="must be open to be settled, is cancelled"):
        settle(cancelled, NOON, block=7)
    with pytest.raises(WithdrawalStateError, match="must be open to be cancelled, is settled"):
        cancel(settled, NOON)
    for ended in (settled, cancelled):
        with pytest.raises(WithdrawalStateError, match="must not have ended"):
            mark_paying(ended)


def test_payment_needs_a_block_or_a_time_that_can_be() -> None:
    hold = make_hold(1)
    with pytest.raises(ValueError, match="needs its block or its paid_at"):
        settle(hold, NOON)
    with pytest.raises(ValueError, match="block must be at least 0, got -1"):
        settle(hold, NOON, block=-1)
    for wrong in (NOON - 2 * MINUTE, NOON + 12 * MINUTE):
        with pytest.raises(ValueError, match="paid_at must be between"):
            settle(hold, NOON + 10 * MINUTE, paid_at=wrong)


def test_payment_of_what_was_decided_by_a_clock_that_was_ahead_is_believed() -> None:
    ahead = make_hold(1, at=NOON + timedelta(days=2))
    assert settle(ahead, NOON, paid_at=NOON - 5 * MINUTE).left_at == NOON - 5 * MINUTE
    with pytest.raises(ValueError, match="paid_at must be between"):
        settle(ahead, NOON, paid_at=NOON + 2 * MINUTE)


def test_open_hold_is_in_every_reading_and_a_cancelled_one_in_none() -> None:
    for reading in (read(0, NOON - MINUTE), read(0, NOON + MINUTE), read(0, block=1)):
        assert is_shown(make_hold(1), reading)
        assert is_shown(mark_paying(make_hold(1)), reading)
        assert not is_shown(cancel(make_hold(1), NOON), reading)


def test_settled_hold_is_in_readings_that_are_older_than_its_payment_and_in_none_later() -> None:
    by_time = settle(make_hold(1), NOON + 5 * MINUTE, paid_at=NOON + MINUTE)
    assert is_shown(by_time, read(0, NOON))
    assert not is_shown(by_time, read(0, NOON + MINUTE))
    assert is_shown(by_time, read(0, NOON, block=10**9))
    by_block = settle(make_hold(2), NOON + 5 * MINUTE, block=100)
    assert is_shown(by_block, read(0, NOON + timedelta(days=1), block=99))  # a lagging node
    assert not is_shown(by_block, read(0, NOON, block=100))
    assert is_shown(by_block, read(0, NOON))  # without a block to compare: until it is reported
    assert not is_shown(by_block, read(0, NOON + 5 * MINUTE))


def test_group_reads_as_its_oldest_account() -> None:
    assert read_group([]) is None
    balances = [
        Balance("a", "USDT", Decimal(3), NOON, block=9),
        Balance("b", "USDT", Decimal(4), NOON - MINUTE, block=8),
        Balance("c", "USDT", Decimal(5), NOON),
    ]
    assert read_group(balances) == GroupReading(Decimal(12), NOON - MINUTE, 8, NOON, 9)
    assert read_group(balances[2:]) == GroupReading(Decimal(5), NOON, None)


def test_reading_is_older_by_its_block_or_else_by_its_time() -> None:
    assert is_older(read(0, NOON + MINUTE, block=1), read(0, NOON, block=2))
    assert not is_older(read(0, NOON, block=2), read(0, NOON + MINUTE, block=2))
    assert is_older(read(0, NOON, block=2), read(0, NOON + MINUTE))
    assert not is_older(read(0, NOON), read(0, NOON))


def test_request_is_the_same_when_its_amount_is_written_otherwise() -> None:
    assert hash_request("m", Decimal("1.50")) == hash_request("m", Decimal("1.5"))
    assert hash_request("m", Decimal("1.5")) != hash_request("m", Decimal("1.51"))
    assert hash_request("m", Decimal("1.5")) != hash_request("n", Decimal("1.5"))
    tiny = Decimal(1).scaleb(-60)
    assert hash_request("m", Decimal(10) ** 27) != hash_request("m", tiny)


def test_money_is_expected_when_it_should_be_unwound_and_after_those_before() -> None:
    fast = Terms(WithdrawalSpeed.FAST, Decimal(1), Decimal(0))
    slow = Terms(WithdrawalSpeed.SLOW, Decimal(0), Decimal(1))
    later = NOON + timedelta(days=1)
    assert expect(fast, POLICY, later, NOON) == NOON
    assert expect(slow, POLICY, None, NOON) == NOON + timedelta(hours=2)
    assert expect(slow, POLICY, later, NOON) == later
    assert expect(slow, WithdrawalPolicy(), later, NOON) is None
