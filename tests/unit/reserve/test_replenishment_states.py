"""The life of a request: which state may follow which, in whatever order reports arrive."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reservd.errors import ReplenishmentStateError
from reservd.reserve.holds import GroupReading
from reservd.reserve.models import AccountPart
from reservd.reserve.replenishment import AcceptanceStatus, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.arrival import accounts_total, baseline_of, count_from, see_arrival, set_back
from reservd.reserve.replenishment.event import Approval, tell_change
from reservd.reserve.replenishment.states import (
    LONGEST_WAIT,
    OPEN,
    TRANSITIONS,
    Replenishment,
    ReplenishmentState,
    advance,
    expire,
    wait_until,
)
from support.reserve import NOON, NOT_READ, make_policy, make_snapshot

State = ReplenishmentState
SECOND = timedelta(seconds=1)
REQUEST = ReplenishmentRequest(
    id="r1", strategy_mode="lending", amount=Decimal(70), currency="USDT", urgency=Urgency.FAST, requested_at=NOON
)
NEW = Replenishment(request=REQUEST, changed_at=NOON, deadline=NOON + 60 * SECOND)


def in_state(state: ReplenishmentState, **changes: object) -> Replenishment:
    return NEW.model_copy(update={"state": state, **changes})


TABLE = {
    "requested": {"accepted", "in_progress", "settled", "rejected", "failed", "expired", "cancelled"},
    "accepted": {"in_progress", "settled", "verified", "failed", "expired", "cancelled"},
    "in_progress": {"settled", "verified", "failed", "expired", "cancelled"},
    "settled": {"verified", "ineffective", "expired", "failed", "cancelled"},
}


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_request_goes_where_the_table_says_and_nowhere_else(
    before: ReplenishmentState, after: ReplenishmentState
) -> None:
    way = ["requested", "accepted", "in_progress", "settled", "verified"]
    record = in_state(before)
    if after in TABLE.get(before, ()):
        assert advance(record, after, NOON + SECOND, by="ann", detail="d").state is after
    elif before is after or (before in way and after in way[: way.index(before)]):
        assert advance(record, after, NOON + SECOND) is record, "a repetition"
    else:
        with pytest.raises(ReplenishmentStateError, match=f"is {before}: it cannot become {after}"):
            advance(record, after, NOON + SECOND)


def test_change_tells_when_by_whom_and_why() -> None:
    record = advance(NEW, State.ACCEPTED, NOON + SECOND, by="ann", detail="d", reference="u-1")
    assert (record.changed_at, record.by, record.detail, record.reference) == (NOON + SECOND, "ann", "d", "u-1")


def test_request_ends_at_its_deadline_and_says_how() -> None:
    for state in (State.REQUESTED, State.ACCEPTED, State.IN_PROGRESS):
        assert expire(in_state(state), NOON + 59 * SECOND).state is state
        assert expire(in_state(state), NOON + 60 * SECOND).state is State.EXPIRED
    settled = in_state(State.SETTLED, heard=True, baseline=Decimal(30), counted_at=NOON)
    assert expire(settled, NOON + 60 * SECOND).state is State.INEFFECTIVE
    ended = in_state(State.REJECTED)
    assert expire(ended, NOON + 60 * SECOND) is ended


@pytest.mark.parametrize("counted", [{}, {"baseline": Decimal(30), "counted_at": NOON + SECOND}])
@pytest.mark.parametrize("state", [State.ACCEPTED, State.IN_PROGRESS, State.SETTLED])
def test_request_is_not_said_to_be_without_effect_when_its_money_may_have_come_unseen(
    state: ReplenishmentState, counted: dict[str, object]
) -> None:
    ended = expire(in_state(state, heard=True, **counted), NOON + 60 * SECOND)
    assert ended.state is State.EXPIRED
    assert ended.detail.endswith("it is unknown whether it has arrived")


def test_strategy_is_waited_for_as_long_as_it_says_within_reason() -> None:
    """Plus the time after which the reserve must have seen the money."""
    assert wait_until(None, NEW, 5 * SECOND) == NEW.deadline
    assert wait_until(NOON + 7 * SECOND, NEW, 5 * SECOND) == NOON + 12 * SECOND
    assert wait_until(NOON + 2 * LONGEST_WAIT, NEW, 5 * SECOND) == NOON + LONGEST_WAIT + 5 * SECOND


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (NEW, None),
        (in_state(State.REQUESTED, heard=True), AcceptanceStatus.PENDING),
        (in_state(State.SETTLED), AcceptanceStatus.ACCEPTED),
        (in_state(State.FAILED), AcceptanceStatus.REJECTED),
    ],
)
def test_record_tells_what_its_strategy_has_answered(record: Replenishment, status: AcceptanceStatus | None) -> None:
    acceptance = record.acceptance
    assert (acceptance.status if acceptance is not None else None) == status


def test_record_tells_whether_it_is_still_to_be_asked() -> None:
    assert NEW.to_be_asked
    assert not in_state(State.REQUESTED, heard=True).to_be_asked
    assert not in_state(State.REQUESTED, needs_approval=True).to_be_asked
    assert in_state(State.REQUESTED, needs_approval=True, approved_by="ann").to_be_asked
    assert not in_state(State.EXPIRED).to_be_asked
    assert (NEW.outstanding, in_state(State.EXPIRED).outstanding) == (70, 0)


# Arrival


def reading(amount: object, seconds: int = 0, block: int | None = None) -> GroupReading:
    return GroupReading(Decimal(str(amount)), NOON + seconds * SECOND, block)


def see(record: Replenishment, amount: object, *, payouts: object = 0, credited: object = 0) -> Replenishment:
    return see_arrival(
        record,
        reading(30),
        reading(amount, 5),
        payouts=Decimal(str(payouts)),
        credited=Decimal(str(credited)),
        tolerance=Decimal("0.1"),
        now=NOON + 6 * SECOND,
    )


@pytest.mark.parametrize("state", [State.ACCEPTED, State.IN_PROGRESS, State.SETTLED])
@pytest.mark.parametrize(
    ("amount", "payouts", "credited", "arrived", "verified"),
    [
        (100, 0, 0, 70, True),
        (93, 0, 0, 63, True),
        ("92.99", 0, 0, "62.99", False),
        (60, 40, 0, 70, True),
        (100, 0, 10, 60, False),
        (150, 0, 0, 120, True),
        (20, 0, 0, 0, False),
    ],
)
def test_request_is_verified_when_the_accounts_gained_enough(
    state: ReplenishmentState, amount: object, payouts: object, credited: object, arrived: object, verified: bool
) -> None:
    seen = see(in_state(state), amount, payouts=payouts, credited=credited)
    assert seen.arrived == Decimal(str(arrived))
    assert seen.state is (State.VERIFIED if verified else state)


def test_nothing_arrives_for_a_request_that_nobody_has_accepted() -> None:
    assert see(NEW, 100) is NEW


def test_arrivals_are_counted_from_the_first_reading() -> None:
    assert baseline_of(NEW) is None
    record = count_from(NEW, reading(30, 1, 17), "m", NOON)
    assert baseline_of(record) == reading(30, 1, 17)
    assert count_from(record, reading(99), "m", NOON) is record


def test_accounts_are_counted_with_what_is_held_and_shared() -> None:
    snapshot = make_snapshot(make_policy(), 110, held=40)
    assert accounts_total(snapshot) == 110
    assert accounts_total(make_snapshot(make_policy(), missing=[NOT_READ])) is None
    part = AccountPart("bank/a", "USDT", Decimal(500), part=Decimal(70))
    assert accounts_total(snapshot._replace(accounts=(part, part))) == 1000
    assert accounts_total(snapshot._replace(accounts=(part, part._replace(amount=None)))) is None


# What is published


def test_event_tells_the_change_and_how_it_stands_with_approval() -> None:
    event = tell_change(in_state(State.ACCEPTED, detail="d", by="strategy"), State.REQUESTED, "e1", 4)
    assert (event.id, event.sequence, event.state, event.previous_state) == ("e1", 4, "accepted", "requested")
    assert (event.replenishment_id, event.amount, event.detail, event.by) == ("r1", 70, "d", "strategy")
    assert not event.reminder
    approvals = [
        tell_change(record, None, "e1", 1).approval
        for record in (NEW, in_state(State.REQUESTED, needs_approval=True), in_state(
            State.REQUESTED, needs_approval=True, approved_by="ann"))
    ]  # fmt: skip
    assert approvals == [Approval.NOT_NEEDED, Approval.AWAITED, Approval.GIVEN]


class Life(RuleBasedStateMachine):
    """Any report at any time: a request that has ended keeps its final state."""

    def __init__(self) -> None:
        super().__init__()
        self.record = NEW
        self.now = NOON
        self.ended: Replenishment | None = None

    @rule(state=st.sampled_from(State))
    def say(self, state: ReplenishmentState) -> None:
        try:
            self.record = advance(self.record, state, self.now)
        except ReplenishmentStateError:
            assert state not in TRANSITIONS[self.record.state]

    @rule(seconds=st.integers(1, 40))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.record = expire(self.record, self.now)
        assert not self.record.open or self.now < self.record.deadline

    @rule(amount=st.integers(0, 200))
    def read(self, amount: int) -> None:
        before = self.record.state
        self.record = see(self.record, amount)
        assert self.record.state in (before, State.VERIFIED)

    @invariant()
    def ends_once(self) -> None:
        if self.ended is not None:
            assert self.record == self.ended
        elif self.record.state not in OPEN:
            self.ended = self.record
        assert self.record.open == bool(TRANSITIONS[self.record.state])


TestLife = Life.TestCase


def test_baseline_that_was_read_by_a_clock_that_was_ahead_is_of_before_it_was_set_back() -> None:
    day, ahead = timedelta(days=1), NOON + timedelta(days=1, minutes=-5)
    made = NEW.model_copy(update={"baseline": Decimal(90), "baseline_at": ahead})
    assert set_back(made, day, NOON).baseline_at == ahead - day
    assert set_back(made, timedelta(), NOON).baseline_at == NOON, "how far it was ahead is unknown"
    for right in (made.model_copy(update={"baseline_at": NOON}), NEW):
        assert set_back(right, day, NOON) is right
