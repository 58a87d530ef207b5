from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.replenishment import (
    Acceptance,
    AcceptanceStatus,
    Inaction,
    RefillPolicy,
    RefillState,
    ReplenishmentOutcome,
    ReplenishmentRequest,
    Urgency,
    decide_refill,
    expire_refill,
    settle_refill,
)
from support.reserve import NOON, NOT_READ, make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
POLICY = RefillPolicy()
ACCEPTED = Acceptance(status=AcceptanceStatus.ACCEPTED)
PENDING = Acceptance(status=AcceptanceStatus.PENDING)
REJECTED = Acceptance(status=AcceptanceStatus.REJECTED)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def snapshot_of(amount: object, *, seconds: float = 0, **changes: object) -> ReserveSnapshot:
    return make_snapshot(make_policy(), amount, **changes)._replace(timestamp=at(seconds))


class Desk:
    """Asks one mode's strategy, as the daemon does: over again with every check."""

    def __init__(self) -> None:
        self.state = RefillState()
        self.asked: list[ReplenishmentRequest] = []
        self._ids = count(1)

    def check(
        self, status: ReserveStatus, answer: Acceptance | None, *, seconds: float, amount: object = 40
    ) -> ReplenishmentRequest | Inaction:
        self.state = expire_refill(self.state, status, POLICY, at(seconds))
        snapshot = snapshot_of(amount, seconds=seconds)
        decision = decide_refill(snapshot, status, POLICY, self.state, request_id=f"r{next(self._ids)}")
        if isinstance(decision, ReplenishmentRequest):
            self.asked.append(decision)
            self.state = settle_refill(self.state, decision, answer, POLICY, at(seconds))
        return decision


@pytest.mark.parametrize(
    ("status", "amount", "urgency", "wanted"),
    [(LOW, 80, Urgency.FAST, 30), (CRITICAL, 20, Urgency.EMERGENCY, 90), (CRITICAL, -10, Urgency.EMERGENCY, 120)],
)
def test_refill_is_asked_up_to_the_level_when_the_reserve_is_short(
    status: ReserveStatus, amount: int, urgency: Urgency, wanted: int
) -> None:
    request = decide_refill(snapshot_of(amount), status, POLICY, RefillState(), request_id="r1", incident_id="incident")
    assert (request.id, request.amount, request.urgency, request.currency) == ("r1", wanted, urgency, "USDT")
    assert (request.incident_id, request.replaces, request.requested_at) == ("incident", None, NOON)


def test_refill_says_why_it_is_asked() -> None:
    request = decide_refill(snapshot_of("20.5"), CRITICAL, POLICY, RefillState(), request_id="r1")
    assert request.reason == "20.5 of 100 USDT is critical; asked for up to 1.1 of the target"


def test_refill_is_exact_when_the_caller_rounds_to_three_digits() -> None:
    with localcontext(prec=3):
        request = decide_refill(snapshot_of("99.123456789"), LOW, POLICY, RefillState(), request_id="r1")
        assert request.amount == Decimal("10.876543211")


@pytest.mark.parametrize(
    ("snapshot", "status", "why"),
    [
        (snapshot_of(20), ADEQUATE, Inaction.ADEQUATE),
        (snapshot_of(20), UNKNOWN, Inaction.NOT_CONCLUSIVE),
        (snapshot_of(20, equity=None), CRITICAL, Inaction.NOT_CONCLUSIVE),
        (snapshot_of(20, equity=-5), CRITICAL, Inaction.NOT_CONCLUSIVE),
        (snapshot_of(20, missing=[NOT_READ]), CRITICAL, Inaction.NOT_CONCLUSIVE),
        (snapshot_of(110), LOW, Inaction.ADEQUATE),
        (snapshot_of(20, equity=0), CRITICAL, Inaction.ADEQUATE),
    ],
)
def test_no_refill_is_asked_when_the_check_does_not_tell_of_a_shortfall(
    snapshot: ReserveSnapshot, status: ReserveStatus, why: Inaction
) -> None:
    assert decide_refill(snapshot, status, POLICY, RefillState(), request_id="r1") is why


@pytest.mark.parametrize("answer", [ACCEPTED, PENDING])
def test_no_second_refill_is_asked_while_one_is_expected(answer: Acceptance | None) -> None:
    desk = Desk()
    desk.check(LOW, answer, seconds=0)
    assert [desk.check(LOW, answer, seconds=seconds) for seconds in (30, 1799)] == [Inaction.IN_FLIGHT] * 2


def test_same_request_is_sent_again_when_nobody_answered() -> None:
    desk = Desk()
    first = desk.check(LOW, None, seconds=0)
    assert desk.check(LOW, None, seconds=30, amount=30) == first
    assert desk.check(LOW, ACCEPTED, seconds=60) == first
    assert desk.check(LOW, ACCEPTED, seconds=90) is Inaction.IN_FLIGHT


def test_request_is_given_up_when_nobody_answers_for_too_long() -> None:
    """Counted from the first attempt, however often it is sent again."""
    desk = Desk()
    first = desk.check(LOW, None, seconds=0)
    desk.check(LOW, None, seconds=1799)
    assert desk.check(LOW, None, seconds=1800) is Inaction.COOLDOWN
    assert desk.check(LOW, None, seconds=2100).id != first.id


def test_request_is_given_up_when_its_own_deadline_has_passed() -> None:
    desk = Desk()
    acceptance = Acceptance(status=AcceptanceStatus.ACCEPTED, expected_by=at(600))
    desk.check(LOW, acceptance, seconds=0)
    assert desk.check(LOW, acceptance, seconds=599) is Inaction.IN_FLIGHT
    assert desk.check(LOW, acceptance, seconds=600) is Inaction.COOLDOWN
    assert isinstance(desk.check(LOW, acceptance, seconds=900), ReplenishmentRequest)


def test_nothing_is_asked_for_a_while_when_a_request_was_rejected() -> None:
    desk = Desk()
    desk.check(LOW, REJECTED, seconds=0)
    assert desk.check(LOW, REJECTED, seconds=299) is Inaction.COOLDOWN
    assert isinstance(desk.check(LOW, REJECTED, seconds=300), ReplenishmentRequest)


def test_emergency_replaces_a_calm_request_when_the_reserve_turns_critical() -> None:
    desk = Desk()
    calm = desk.check(LOW, ACCEPTED, seconds=0, amount=80)
    urgent = desk.check(CRITICAL, ACCEPTED, seconds=30, amount=20)
    assert (urgent.replaces, urgent.urgency, urgent.amount) == (calm.id, Urgency.EMERGENCY, 90)
    assert desk.check(CRITICAL, ACCEPTED, seconds=60) is Inaction.IN_FLIGHT


def test_emergency_is_sent_again_under_its_id_when_nobody_answered() -> None:
    desk = Desk()
    desk.check(LOW, ACCEPTED, seconds=0)
    urgent = desk.check(CRITICAL, None, seconds=30)
    assert desk.check(CRITICAL, ACCEPTED, seconds=60) == urgent


@pytest.mark.parametrize("unanswered", [0, 1, 3])
def test_calm_request_stands_when_the_strategy_refuses_to_hurry(unanswered: int) -> None:
    """What it accepted is on its way; to ask anew would unwind twice."""
    desk = Desk()
    desk.check(LOW, ACCEPTED, seconds=0)
    for look in range(unanswered):
        desk.check(CRITICAL, None, seconds=30 + look)
    desk.check(CRITICAL, REJECTED, seconds=60)
    asked = len(desk.asked)
    assert [desk.check(CRITICAL, REJECTED, seconds=seconds) for seconds in (90, 400, 1799)] == [Inaction.IN_FLIGHT] * 3
    assert desk.check(CRITICAL, REJECTED, seconds=1800) is Inaction.COOLDOWN
    assert len(desk.asked) == asked


def test_cooldown_holds_when_a_refused_emergency_would_have_replaced_what_nobody_answered() -> None:
    desk = Desk()
    desk.check(LOW, None, seconds=0)
    desk.check(CRITICAL, REJECTED, seconds=30)
    assert desk.check(CRITICAL, REJECTED, seconds=60) is Inaction.COOLDOWN
    assert isinstance(desk.check(CRITICAL, ACCEPTED, seconds=330), ReplenishmentRequest)


@pytest.mark.parametrize("answer", [ACCEPTED, REJECTED, None])
def test_everything_is_forgotten_when_the_reserve_has_recovered(answer: Acceptance | None) -> None:
    desk = Desk()
    desk.check(LOW, answer, seconds=0)
    assert desk.check(ADEQUATE, answer, seconds=30, amount=120) is Inaction.ADEQUATE
    assert desk.state == RefillState()


def test_request_stays_expected_while_the_status_is_unknown() -> None:
    desk = Desk()
    desk.check(LOW, ACCEPTED, seconds=0)
    before = desk.state
    assert desk.check(UNKNOWN, ACCEPTED, seconds=30) is Inaction.NOT_CONCLUSIVE
    assert desk.state == before


@pytest.mark.parametrize(("acceptance", "made"), [(ACCEPTED, True), (PENDING, True), (REJECTED, False), (None, False)])
def test_outcome_is_true_when_the_strategy_has_the_request(acceptance: Acceptance | None, made: bool) -> None:
    assert bool(ReplenishmentOutcome(None, acceptance)) is made


CHECKS = st.lists(
    st.tuples(
        st.sampled_from([LOW, LOW, CRITICAL, CRITICAL, ADEQUATE, UNKNOWN]),
        st.sampled_from([ACCEPTED, PENDING, REJECTED, None]),
        st.sampled_from([1, 30, 299, 600, 1800]),
    ),
    max_size=40,
)


@given(CHECKS)
@settings(deadline=None, max_examples=150)
def test_at_most_one_request_is_in_flight_in_any_history(
    checks: list[tuple[ReserveStatus, Acceptance | None, int]],
) -> None:
    """A new id is asked only when nothing the strategy has is awaited, or in the place of it."""
    desk = Desk()
    awaited: dict[str, datetime] = {}
    unanswered: ReplenishmentRequest | None = None
    seconds = 0
    for status, answer, after in checks:
        seconds += after
        now = at(seconds)
        awaited = {id_: until for id_, until in awaited.items() if now < until and status is not ADEQUATE}
        decision = desk.check(status, answer, seconds=seconds)
        if not isinstance(decision, ReplenishmentRequest):
            unanswered = unanswered if status is not ADEQUATE else None
            continue
        assert status in {LOW, CRITICAL}
        assert decision.amount > 0
        assert decision == unanswered or desk.asked.count(decision) == 1
        assert set(awaited) <= {decision.replaces}
        unanswered = decision if answer is None else None
        if answer is ACCEPTED or answer is PENDING:
            awaited = {decision.id: now + POLICY.patience}
