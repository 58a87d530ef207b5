"""Requests that wait for approval, and have not been sent yet."""

from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.replenishment import Inaction, RefillPolicy, ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.approval import reconsider
from reservd.reserve.replenishment.decision import RefillDecision
from reservd.reserve.replenishment.states import Replenishment
from support.reserve import NOON

POLICY = RefillPolicy(approval_above=Decimal(50))
LATER = NOON + timedelta(minutes=29)


def request(
    amount: object, urgency: Urgency = Urgency.EMERGENCY, replaces: str | None = "calm"
) -> ReplenishmentRequest:
    return ReplenishmentRequest(
        id="r",
        strategy_mode="m",
        amount=Decimal(str(amount)),
        currency="USDT",
        urgency=urgency,
        requested_at=NOON,
        replaces=replaces,
    )


WAITING = Replenishment(
    request=request(100), changed_at=NOON, deadline=NOON + timedelta(minutes=30), needs_approval=True
)


@pytest.mark.parametrize("inaction", list(Inaction), ids=str)
def test_request_is_given_up_when_nothing_lacks_that_is_not_on_its_way(inaction: Inaction) -> None:
    after = reconsider(WAITING, RefillDecision(None, inaction), POLICY, NOON)
    needless = {Inaction.ADEQUATE, Inaction.COVERED, Inaction.BELOW_MINIMUM, Inaction.IN_FLIGHT}
    assert after == (None if inaction in needless else WAITING)


@pytest.mark.parametrize("amount", [99, 100, 500])
def test_request_stays_as_it_is_when_about_the_same_lacks_or_more(amount: int) -> None:
    assert reconsider(WAITING, RefillDecision(request(amount), None), POLICY, NOON) is WAITING


def test_request_is_given_up_when_another_is_yet_to_be_asked() -> None:
    other = request(500).model_copy(update={"id": "calm"})
    assert reconsider(WAITING, RefillDecision(other, None), POLICY, NOON) is None


def test_request_asks_for_what_lacks_by_now_and_waits_no_longer_than_it_must() -> None:
    after = reconsider(WAITING, RefillDecision(request(60, replaces=None), None), POLICY, LATER)
    assert after is not None
    assert (after.request.amount, after.request.replaces, after.held_back) == (60, None, True)
    assert after.deadline == WAITING.deadline
    for fresh in (request(50), request(500, Urgency.FAST)):
        after = reconsider(WAITING, RefillDecision(fresh, None), POLICY, LATER)
        assert after is not None
        assert (after.request.amount, after.held_back) == (min(100, fresh.amount), False)
        assert after.deadline == after.request.deadline == LATER + POLICY.patience
