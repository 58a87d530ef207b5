"""The decision on refills: every reason for requesting nothing, and what is requested otherwise."""

from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.models import ReserveSnapshot, ReserveStatus
from reservd.reserve.replenishment import (
    Acceptance,
    AcceptanceStatus,
    Inaction,
    RefillPolicy,
    ReplenishmentOutcome,
    ReplenishmentRequest,
    Urgency,
)
from reservd.reserve.replenishment.decision import (
    RefillDecision,
    cooldown_after,
    decide_refill,
    spare_in_flight,
    still_to_come,
)
from reservd.reserve.replenishment.limits import check_requested_amount
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from support.reserve import NOON, NOT_READ, make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
FAST, EMERGENCY = Urgency
State = ReplenishmentState


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def snapshot_of(amount: object, *, seconds: float = 0, **changes: object) -> ReserveSnapshot:
    return make_snapshot(make_policy(), amount, **changes)._replace(timestamp=at(seconds))


def record_of(
    state: ReplenishmentState = State.ACCEPTED,
    *,
    amount: object = 70,
    urgency: Urgency = FAST,
    id: str = "r0",  # noqa: A002  # the name in the request
    seconds: float = -60,
    ended: float = -30,
    withdrawal_id: str | None = None,
    replaces: str | None = None,
    incident_id: str | None = None,
    **changes: Any,
) -> Replenishment:
    """Return an earlier request: made a minute before noon, and in its state for half a minute."""
    request = ReplenishmentRequest(
        id=id,
        strategy_mode="lending",
        amount=Decimal(str(amount)),
        currency="USDT",
        urgency=urgency,
        requested_at=at(seconds),
        withdrawal_id=withdrawal_id,
        replaces=replaces,
        incident_id=incident_id,
    )
    heard = state is not State.REQUESTED
    return Replenishment(
        **{
            "request": request,
            "state": state,
            "changed_at": at(ended),
            "deadline": at(1800),
            "heard": heard,
            "baseline": Decimal(0),
        }
        | changes
    )


def decide(
    amount: object,
    status: ReserveStatus,
    *history: Replenishment,
    seconds: float = 0,
    queued: object = 0,
    spare: object = 0,
    incident_id: str | None = None,
    **policy: Any,
) -> RefillDecision:
    return decide_refill(
        snapshot_of(amount, seconds=seconds),
        status,
        RefillPolicy(**policy),
        history,
        request_id="r1",
        queued=Decimal(str(queued)),
        spare=Decimal(str(spare)),
        incident_id=incident_id,
    )


def asked(decision: RefillDecision) -> ReplenishmentRequest:
    assert decision.inaction is None
    assert decision.request is not None
    return decision.request


@pytest.mark.parametrize(
    ("status", "amount", "urgency", "wanted"),
    [(LOW, 80, FAST, 30), (CRITICAL, 20, EMERGENCY, 90), (CRITICAL, -10, EMERGENCY, 120)],
)
def test_refill_is_asked_up_to_the_level_when_the_reserve_is_short(
    status: ReserveStatus, amount: int, urgency: Urgency, wanted: int
) -> None:
    request = asked(decide(amount, status, incident_id="incident", max_loss=Decimal("0.02")))
    assert (request.id, request.amount, request.urgency, request.currency) == ("r1", wanted, urgency, "USDT")
    assert (request.incident_id, request.replaces, request.requested_at) == ("incident", None, NOON)
    assert (request.deadline, request.max_loss) == (at(1800), Decimal("0.02"))


def test_refill_says_why_it_is_asked() -> None:
    request = asked(decide("20.5", CRITICAL))
    assert request.reason == "20.5 of 100 USDT is critical; requested up to 1.1 of the target"


def test_refill_is_exact_when_the_caller_rounds_to_three_digits() -> None:
    with localcontext(prec=3):
        assert asked(decide("99.123456789", LOW)).amount == Decimal("10.876543211")


FAILED = record_of(State.FAILED)
REFUSED_TWICE = (record_of(State.REJECTED, id="a"), record_of(State.FAILED, id="b"))


@pytest.mark.parametrize(
    ("reason", "decision"),
    [
        (Inaction.ADEQUATE, lambda: decide(20, ADEQUATE)),
        (Inaction.ADEQUATE, lambda: decide(110, LOW)),
        (Inaction.ADEQUATE, lambda: decide_refill(
            snapshot_of(20, equity=0), CRITICAL, RefillPolicy(), (), request_id="r1")),
        (Inaction.NOT_CONCLUSIVE, lambda: decide(20, UNKNOWN)),
        (Inaction.NOT_CONCLUSIVE, lambda: decide_refill(
            snapshot_of(20, equity=None), CRITICAL, RefillPolicy(), (), request_id="r1")),
        (Inaction.NOT_CONCLUSIVE, lambda: decide_refill(
            snapshot_of(20, missing=[NOT_READ]), CRITICAL, RefillPolicy(), (), request_id="r1")),
        (Inaction.IN_FLIGHT, lambda: decide(40, LOW, record_of())),
        (Inaction.IN_FLIGHT, lambda: decide(40, LOW, record_of(State.REQUESTED, heard=True))),
        (Inaction.COVERED, lambda: decide(40, LOW, record_of(withdrawal_id="w", amount=90))),
        (Inaction.COVERED, lambda: decide(40, LOW, record_of(amount=90), in_flight=2)),
        (Inaction.AWAITING_APPROVAL, lambda: decide(40, LOW, record_of(State.REQUESTED, needs_approval=True))),
        (Inaction.COOLDOWN, lambda: decide(40, LOW, FAILED)),
        (Inaction.COOLDOWN, lambda: decide(40, LOW, FAILED, seconds=269)),
        (Inaction.BACKOFF, lambda: decide(40, LOW, *REFUSED_TWICE, seconds=271)),
        (Inaction.BACKOFF, lambda: decide(40, LOW, *REFUSED_TWICE, seconds=569)),
        (Inaction.BELOW_MINIMUM, lambda: decide(95, LOW, minimum=Decimal(16))),
        (Inaction.BELOW_MINIMUM, lambda: decide(95, LOW, maximum=Decimal("0.4"), decimals=0)),
        (Inaction.BUDGET_AMOUNT, lambda: decide(
            40, LOW, record_of(State.VERIFIED, amount=100), budget_amount=Decimal(100))),
        (Inaction.BUDGET_AMOUNT, lambda: decide(
            40, LOW, record_of(State.VERIFIED, amount=95), budget_amount=Decimal(100), minimum=Decimal(6))),
        (Inaction.BUDGET_COUNT, lambda: decide(40, LOW, record_of(State.VERIFIED), budget_count=1)),
        (Inaction.DRY_RUN, lambda: decide(40, LOW, dry_run=True)),
    ],
)  # fmt: skip
def test_nothing_is_asked_for_and_the_reason_is_told(reason: Inaction, decision: Any) -> None:
    assert decision().inaction is reason


def test_dry_run_tells_what_would_be_asked_for() -> None:
    request = decide(40, LOW, dry_run=True).request
    assert request is not None
    assert request.amount == 70


def test_same_request_is_asked_again_when_nobody_has_heard_it() -> None:
    record = record_of(State.REQUESTED)
    assert asked(decide(40, LOW, record)) is record.request
    approved = record_of(State.REQUESTED, needs_approval=True, approved_by="ann")
    assert asked(decide(40, LOW, approved)) is approved.request


def test_queued_withdrawals_are_asked_for_as_well_but_not_twice() -> None:
    assert asked(decide(80, LOW, queued=25)).amount == 55
    own = record_of(withdrawal_id="w", amount=25)
    assert asked(decide(80, LOW, own, queued=25)).amount == 30


def test_reserve_that_is_well_asks_for_what_withdrawals_wait_for_in_vain_and_no_more() -> None:
    """The reserve is filled up to its target, not beyond it: what is above the target pays for them."""
    refused = record_of(State.REJECTED, withdrawal_id="w", amount=25)
    request = asked(decide(105, ADEQUATE, refused, queued=25))
    assert (request.amount, request.urgency) == (20, FAST)
    assert request.reason == "105 of 100 USDT is adequate; requested for waiting withdrawals"
    assert asked(decide(95, ADEQUATE, refused, queued=25)).amount == 25
    failed = record_of(State.EXPIRED)
    assert decide(105, ADEQUATE, refused, failed, queued=25).inaction is Inaction.COOLDOWN
    assert asked(decide(105, ADEQUATE, refused, failed, queued=25, seconds=300)).urgency is FAST
    under_way = record_of(withdrawal_id="w", amount=25)
    for decision in (decide(105, ADEQUATE, under_way, queued=25), decide(125, ADEQUATE, refused, queued=25)):
        assert decision == RefillDecision(None, Inaction.ADEQUATE)


def test_what_is_in_flight_for_sharers_beyond_what_they_lack_is_not_asked_for_again() -> None:
    assert asked(decide(80, LOW, spare=10)).amount == 20
    assert decide(80, LOW, spare=30).inaction is Inaction.COVERED


@pytest.mark.parametrize(
    ("amount", "queued", "in_flight", "spare"),
    [(75, 0, 35, 0), (92.5, 0, 35, 17.5), (75, 10, 50, 5), (150, 0, 20, 20)],
)
def test_sharers_have_to_spare_what_is_in_flight_beyond_what_they_lack(
    amount: object, queued: int, in_flight: int, spare: object
) -> None:
    sharer = (snapshot_of(amount), RefillPolicy(), Decimal(queued), Decimal(in_flight))
    assert spare_in_flight([sharer]) == Decimal(str(spare))


def test_nothing_is_known_to_be_spare_when_a_sharer_is_not_known() -> None:
    known = (snapshot_of(150), RefillPolicy(), Decimal(0), Decimal(20))
    unknown = (snapshot_of(75, missing=[NOT_READ]), RefillPolicy(), Decimal(0), Decimal(0))
    assert spare_in_flight([known, unknown]) == 0


def test_withdrawals_own_request_stands_in_nobodys_way() -> None:
    refused = record_of(State.REJECTED, withdrawal_id="w", amount=25)
    unheard = record_of(State.REQUESTED, withdrawal_id="v", amount=5)
    request = asked(decide(80, LOW, refused, unheard, budget_count=1))
    assert (request.id, request.amount) == ("r1", 25)


def test_more_is_asked_for_while_one_is_open_when_the_mode_allows_two() -> None:
    request = asked(decide(40, LOW, record_of(amount=50, arrived=10), in_flight=2))
    assert request.amount == 30
    two = (record_of(amount=10), record_of(amount=10, id="b"))
    assert decide(40, LOW, *two, in_flight=2).inaction is Inaction.IN_FLIGHT


def test_emergency_replaces_what_is_open_when_the_reserve_becomes_critical() -> None:
    request = asked(decide(20, CRITICAL, record_of()))
    assert (request.urgency, request.replaces, request.amount) == (EMERGENCY, "r0", 90)


def test_emergency_is_not_asked_for_again_while_one_is_open_or_was_refused() -> None:
    hurry = record_of(State.ACCEPTED, id="h", urgency=EMERGENCY, replaces="r0")
    assert decide(20, CRITICAL, record_of(), hurry).inaction is Inaction.IN_FLIGHT
    refused = record_of(State.REJECTED, id="h", urgency=EMERGENCY, replaces="r0")
    assert decide(20, CRITICAL, record_of(), refused).inaction is Inaction.IN_FLIGHT


@pytest.mark.parametrize("waited_for", [{}, {"needs_approval": True}])
def test_emergency_is_asked_for_again_after_a_while_when_nobody_has_heard_of_the_last(
    waited_for: dict[str, bool],
) -> None:
    unheard = record_of(State.EXPIRED, id="h", urgency=EMERGENCY, replaces="r0", heard=False, **waited_for)
    assert decide(20, CRITICAL, record_of(), unheard).inaction is Inaction.COOLDOWN
    request = asked(decide(20, CRITICAL, record_of(), unheard, seconds=271))
    assert (request.urgency, request.replaces, request.amount) == (EMERGENCY, "r0", 90)
    heard = record_of(State.EXPIRED, id="h", urgency=EMERGENCY, replaces="r0")
    assert decide(20, CRITICAL, record_of(), heard, seconds=271).inaction is Inaction.IN_FLIGHT


@pytest.mark.parametrize(
    ("calm", "hurry", "coming"),
    [
        (record_of(amount=70), record_of(State.REQUESTED, id="h", amount=90, replaces="r0"), 95),
        (record_of(amount=70), record_of(State.REQUESTED, id="h", amount=20, replaces="r0"), 75),
        (record_of(amount=70), record_of(State.REQUESTED, id="h", amount=90, replaces="r0", needs_approval=True), 95),
        (record_of(amount=70), record_of(State.REJECTED, id="h", amount=90, replaces="r0"), 75),
        (record_of(State.CANCELLED, amount=70), record_of(id="h", amount=90, replaces="r0"), 95),
        (record_of(amount=70), record_of(id="h", amount=90), 165),
    ],
)
def test_emergency_is_not_in_flight_besides_what_it_replaces(
    calm: Replenishment, hurry: Replenishment, coming: int
) -> None:
    """It asks for the whole missing amount: whichever of the two the strategy accepts, the other does not arrive."""
    assert still_to_come([calm, hurry, record_of(id="w", amount=5, withdrawal_id="w")]) == coming


def test_more_is_asked_for_beside_an_emergency_than_if_it_came_twice() -> None:
    hurry = record_of(State.REQUESTED, id="h", urgency=EMERGENCY, amount=90, replaces="r0", heard=True)
    assert asked(decide(-40, CRITICAL, record_of(amount=70), hurry, in_flight=3)).amount == 60


def test_emergency_does_not_wait_when_only_a_calm_request_failed() -> None:
    assert asked(decide(20, CRITICAL, FAILED)).urgency is EMERGENCY
    again = record_of(State.FAILED, urgency=EMERGENCY)
    assert decide(20, CRITICAL, again).inaction is Inaction.COOLDOWN


@pytest.mark.parametrize("waited_for", [{}, {"needs_approval": True}])
def test_next_request_is_as_calm_when_the_last_was_never_heard(waited_for: dict[str, bool]) -> None:
    past = record_of(State.EXPIRED, ended=-300, heard=False, **waited_for)
    request = decide(70, LOW, past).request
    assert request is not None
    assert request.urgency is FAST


@pytest.mark.parametrize("state", [State.EXPIRED, State.INEFFECTIVE])
def test_next_request_is_an_emergency_when_the_last_had_no_effect(state: ReplenishmentState) -> None:
    past = record_of(state, incident_id="i")
    assert decide(40, LOW, past, incident_id="i").inaction is Inaction.COOLDOWN
    assert asked(decide(40, LOW, past, incident_id="i", seconds=271)).urgency is EMERGENCY
    assert asked(decide(40, LOW, past, incident_id="other", seconds=271)).urgency is FAST


@pytest.mark.parametrize("counted", [{"baseline": None}, {"counted_at": at(-45)}])
def test_next_request_is_as_calm_when_nobody_can_tell_whether_the_last_had_an_effect(counted: dict[str, Any]) -> None:
    past = record_of(State.EXPIRED, incident_id="i", **counted)
    assert asked(decide(40, LOW, past, incident_id="i", seconds=271)).urgency is FAST


@pytest.mark.parametrize("urgency", [FAST, EMERGENCY])
def test_what_failed_in_an_incident_that_is_over_delays_nothing(urgency: Urgency) -> None:
    past = record_of(State.EXPIRED, incident_id="over", urgency=urgency)
    assert asked(decide(40, LOW, past, incident_id="new")).urgency is FAST
    assert asked(decide(20, CRITICAL, past, incident_id="new")).urgency is EMERGENCY


def test_failures_are_forgotten_when_a_request_has_arrived() -> None:
    history = (record_of(State.FAILED, ended=-40), record_of(State.VERIFIED, id="b", ended=-30))
    assert asked(decide(40, LOW, *history)).amount == 70


def test_replaced_request_is_no_failure_and_uses_no_budget() -> None:
    past = record_of(State.CANCELLED, replaced_by="x")
    assert asked(decide(40, LOW, past, budget_count=1)).amount == 70


def test_rejected_request_uses_no_budget() -> None:
    past = record_of(State.REJECTED)
    assert asked(decide(40, LOW, past, seconds=300, budget_count=1, budget_amount=Decimal(70))).amount == 70


def test_budget_is_free_again_when_its_period_is_over() -> None:
    past = record_of(State.VERIFIED)
    assert decide(40, LOW, past, budget_count=1, budget_period=timedelta(seconds=61)).inaction is Inaction.BUDGET_COUNT
    assert asked(decide(40, LOW, past, budget_count=1, budget_period=timedelta(seconds=60))).amount == 70


def test_amount_is_cut_to_what_is_left_of_the_budget() -> None:
    past = record_of(State.VERIFIED, amount="65.5")
    assert asked(decide(40, LOW, past, budget_amount=Decimal(100))).amount == Decimal("34.5")
    assert asked(decide(40, LOW, past, budget_amount=Decimal(100), decimals=0)).amount == 34
    assert asked(decide(40, LOW, past, budget_amount=Decimal(1000))).amount == 70


def test_amount_is_kept_within_the_sizes_and_rounded_to_what_the_asset_has() -> None:
    assert asked(decide("39.9999", LOW, decimals=2)).amount == Decimal("70.01")
    assert asked(decide(40, LOW, maximum=Decimal("50.555"), decimals=2)).amount == Decimal("50.55")
    assert asked(decide(40, LOW, minimum=Decimal(70), maximum=Decimal(70))).amount == 70


@pytest.mark.parametrize(("failures", "seconds"), [(1, 300), (2, 600), (3, 1200), (5, 3600), (1000, 3600)])
def test_cooldown_doubles_with_each_failure_up_to_the_longest(failures: int, seconds: int) -> None:
    assert cooldown_after(failures, RefillPolicy()) == timedelta(seconds=seconds)


def test_cooldown_is_never_cut_below_its_length() -> None:
    policy = RefillPolicy(cooldown=timedelta(hours=2))
    assert cooldown_after(3, policy) == timedelta(hours=2)


def test_approval_is_needed_for_large_emergencies_only() -> None:
    policy = RefillPolicy(approval_above=Decimal(80))
    assert policy.needs_approval(asked(decide(20, CRITICAL)))
    assert not policy.needs_approval(asked(decide(40, CRITICAL)))
    assert not policy.needs_approval(asked(decide(20, LOW)))
    assert not RefillPolicy().needs_approval(asked(decide(20, CRITICAL)))


def test_policy_remembers_as_long_as_budgets_and_cooldowns_need() -> None:
    assert RefillPolicy().remembers(at(-86400), NOON)
    assert not RefillPolicy().remembers(at(-86401), NOON)


def test_emergency_asks_for_what_lacks_besides_a_calm_request_that_is_settled() -> None:
    settled = record_of(State.SETTLED, amount=40)
    request = asked(decide(30, CRITICAL, settled))
    assert (request.urgency, request.replaces, request.amount) == (EMERGENCY, None, 40)
    assert decide(75, CRITICAL, settled).inaction is Inaction.COVERED
    assert decide(30, LOW, settled).inaction is Inaction.IN_FLIGHT
    hurried = record_of(State.SETTLED, amount=40, urgency=EMERGENCY)
    assert decide(30, CRITICAL, hurried).inaction is Inaction.IN_FLIGHT


def test_what_reservd_gave_up_before_anybody_heard_of_it_is_no_failure() -> None:
    given_up = record_of(State.CANCELLED, urgency=EMERGENCY, heard=False)
    assert decide(30, CRITICAL, given_up).inaction is None
    by_somebody = record_of(State.CANCELLED, urgency=EMERGENCY, heard=False, by="ann")
    assert decide(30, CRITICAL, by_somebody).inaction is Inaction.COOLDOWN


@given(
    amounts=st.lists(st.decimals(0, 200, places=2), max_size=4),
    balance=st.decimals(-50, 109, places=3),
    maximum=st.none() | st.decimals(1, 300, places=2),
    budget=st.none() | st.decimals(1, 300, places=2),
    places=st.none() | st.integers(0, 4),
)
def test_no_limit_is_ever_exceeded(
    amounts: list[Decimal], balance: Decimal, maximum: Decimal | None, budget: Decimal | None, places: int | None
) -> None:
    history = [record_of(State.VERIFIED, amount=each, id=f"h{index}") for index, each in enumerate(amounts)]
    decision = decide(balance, CRITICAL, *history, maximum=maximum, budget_amount=budget, decimals=places)
    if decision.request is None:
        assert decision.inaction in {Inaction.BUDGET_AMOUNT, Inaction.BELOW_MINIMUM}
        return
    amount = decision.request.amount
    assert amount > 0
    assert maximum is None or amount <= maximum
    assert budget is None or sum(amounts) + amount <= budget
    assert places is None or amount == round(amount, places)


def test_outcome_is_true_when_the_strategy_has_the_request() -> None:
    request = asked(decide(40, LOW))
    for status, is_true in ((AcceptanceStatus.ACCEPTED, True), (AcceptanceStatus.REJECTED, False)):
        assert bool(ReplenishmentOutcome(request, Acceptance(status=status))) is is_true
    assert not ReplenishmentOutcome(None, None, Inaction.IN_FLIGHT)


@pytest.mark.parametrize(
    ("amount", "policy", "own", "of_withdrawal"),
    [
        (5, {}, None, None),
        (5, {"dry_run": True}, Inaction.DRY_RUN, Inaction.DRY_RUN),
        (51, {"maximum": Decimal(50)}, Inaction.ABOVE_MAXIMUM, None),
        (50, {"maximum": Decimal(50)}, None, None),
        ("5.001", {"decimals": 2}, Inaction.TOO_PRECISE, None),
        ("5.0100", {"decimals": 2}, None, None),
        (5, {"budget_count": 1}, Inaction.BUDGET_COUNT, None),
        (5, {"budget_count": 2}, None, None),
        (31, {"budget_amount": Decimal(100)}, Inaction.BUDGET_AMOUNT, None),
        (30, {"budget_amount": Decimal(100)}, None, None),
    ],
)
def test_wish_is_bound_by_the_limits_and_a_withdrawals_by_dry_runs_alone(
    amount: object, policy: dict[str, Any], own: Inaction | None, of_withdrawal: Inaction | None
) -> None:
    """The budget has 70 of a refill and 10 for a withdrawal; the rejected 70 do not count."""
    history = [
        record_of(State.VERIFIED),
        record_of(State.VERIFIED, id="w", withdrawal_id="w", amount=10),
        record_of(State.REJECTED, id="r1"),
    ]
    found = [
        check_requested_amount(Decimal(str(amount)), RefillPolicy(**policy), history, NOON, for_withdrawal=wished)
        for wished in (False, True)
    ]
    assert found == [own, of_withdrawal]
