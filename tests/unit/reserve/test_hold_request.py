"""The effect of a hold on its request: what happens to the missing amount, and when the money is expected."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.holds import Hold, Unwinding, cancel, settle
from reservd.reserve.holds.unwinding import follow_request, is_called_off, leave_unasked
from reservd.reserve.replenishment import ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from reservd.reserve.withdrawal import WithdrawalPolicy
from support.holds import make_hold
from support.reserve import NOON

State = ReplenishmentState
HOUR = timedelta(hours=1)
POLICY = WithdrawalPolicy(patience=HOUR, unwinding=2 * HOUR)
WAITING = replace(make_hold(1, 10, 5, policy=POLICY), expected_at=NOON + 2 * HOUR)


def request_in(state: ReplenishmentState, **changes: object) -> Replenishment:
    request = ReplenishmentRequest(
        id=WAITING.id,
        strategy_mode="m",
        amount=Decimal(5),
        currency="USDT",
        urgency=Urgency.FAST,
        requested_at=NOON,
        withdrawal_id=WAITING.id,
    )
    fields = {"request": request, "state": state, "changed_at": NOON, "deadline": NOON + 2 * HOUR, "heard": True}
    return Replenishment(**fields | changes)


@pytest.mark.parametrize(
    ("state", "unwinding"),
    [
        (State.REJECTED, Unwinding.REFUSED),
        (State.FAILED, Unwinding.FAILED),
        (State.EXPIRED, Unwinding.FAILED),
        (State.INEFFECTIVE, Unwinding.FAILED),
        (State.CANCELLED, Unwinding.FAILED),
    ],
)
def test_nothing_is_expected_any_more_when_the_request_came_to_nothing(
    state: ReplenishmentState, unwinding: Unwinding
) -> None:
    after = follow_request(WAITING, request_in(state))
    assert (after.unwinding, after.expected_at, after.overdue_at) == (unwinding, None, WAITING.overdue_at)


def test_request_that_its_strategy_never_heard_is_none_that_it_had() -> None:
    assert follow_request(WAITING, request_in(State.EXPIRED, heard=False)).unwinding is Unwinding.REFUSED


def test_money_is_expected_when_the_strategy_says_and_overdue_later_for_it() -> None:
    promised = NOON + 5 * HOUR
    after = follow_request(WAITING, request_in(State.ACCEPTED, expected_by=promised))
    assert (after.unwinding, after.expected_at) == (Unwinding.ASKED, promised)
    assert after.overdue_at == WAITING.overdue_at + 3 * HOUR
    assert follow_request(after, request_in(State.ACCEPTED, expected_by=promised)) == after
    sooner = follow_request(after, request_in(State.IN_PROGRESS, expected_by=NOON + HOUR))
    assert (sooner.expected_at, sooner.overdue_at) == (NOON + HOUR, after.overdue_at)


def test_time_stays_as_it_is_when_the_strategy_has_not_decided() -> None:
    after = follow_request(WAITING, request_in(State.REQUESTED))
    assert (after.unwinding, after.expected_at) == (Unwinding.ASKED, WAITING.expected_at)
    assert follow_request(WAITING, request_in(State.REQUESTED, heard=False)) == WAITING


def test_hold_that_waits_for_nothing_is_left_alone() -> None:
    ended = cancel(WAITING, NOON)
    assert follow_request(ended, request_in(State.FAILED)) == ended


def test_nothing_is_expected_when_nobody_is_asked() -> None:
    after = leave_unasked(WAITING)
    assert (after.unwinding, after.expected_at) == (Unwinding.REFUSED, None)


ARRIVED = replace(WAITING, arrived=WAITING.unwound)
PAID = settle(WAITING, NOON, paid_at=NOON)
CALLED_OFF = cancel(WAITING, NOON)


@pytest.mark.parametrize(
    ("hold", "heard", "expected"),
    [
        (WAITING, False, False),
        (WAITING, True, False),
        (ARRIVED, False, True),
        (ARRIVED, True, False),
        (PAID, False, True),
        (PAID, True, False),
        (CALLED_OFF, False, True),
        (CALLED_OFF, True, True),
        (None, False, True),
        (None, True, False),
    ],
)
def test_request_is_called_off_when_its_withdrawal_waits_for_nothing(
    hold: Hold | None, heard: bool, expected: bool
) -> None:
    """A request that its strategy has received ends only if nothing will be paid; an accepted one never."""
    assert is_called_off(request_in(State.REQUESTED, heard=heard), hold) is expected
    assert not is_called_off(request_in(State.ACCEPTED), hold)
