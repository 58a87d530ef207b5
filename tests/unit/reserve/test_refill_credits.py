"""Several requests for the same accounts: arrivals are credited once, to the first request."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.holds import GroupReading
from reservd.reserve.replenishment import ReplenishmentRequest, Urgency
from reservd.reserve.replenishment.arrival import count_from, credit_of
from reservd.reserve.replenishment.credits import EndedCredits, counted_since, see_arrivals
from reservd.reserve.replenishment.states import Replenishment, ReplenishmentState
from support.reserve import NOON

State = ReplenishmentState


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def refill(name: str, amount: object = 50, seconds: float = 0, **changes: Any) -> Replenishment:
    request = ReplenishmentRequest(
        id=name,
        strategy_mode="m",
        amount=Decimal(str(amount)),
        currency="USDT",
        urgency=Urgency.FAST,
        requested_at=at(seconds),
    )
    fields = {"request": request, "state": State.ACCEPTED, "changed_at": at(seconds), "deadline": at(9999)}
    return Replenishment(**fields | changes)


def counted(record: Replenishment, balance: object, *others: Replenishment) -> Replenishment:
    when = record.request.requested_at
    return count_from(record, GroupReading(Decimal(str(balance)), when), "m", when, others)


def see(balance: object, *records: Replenishment, paid: object = 0, ended: object = 0) -> dict[str, Replenishment]:
    seen = see_arrivals(
        records,
        GroupReading(Decimal(str(balance)), at(60)),
        paid_since=lambda _: Decimal(str(paid)),
        ended_since=lambda _: Decimal(str(ended)),
        tolerance=lambda _: Decimal("0.01"),
        now=at(60),
    )
    return {each.id: each for each in seen}


def test_money_is_counted_for_the_first_and_what_is_left_for_the_next() -> None:
    first, second = counted(refill("a"), 100), counted(refill("b", seconds=1), 100)
    seen = see(165, first, second)
    assert [(seen[each].arrived, seen[each].state) for each in "ab"] == [(50, State.VERIFIED), (15, State.ACCEPTED)]


def test_last_one_is_told_of_more_than_it_asked_for() -> None:
    seen = see(230, counted(refill("a"), 100), counted(refill("b", seconds=1), 100))
    assert [seen[each].arrived for each in "ab"] == [50, 80]


def test_what_had_arrived_for_another_before_is_in_the_baseline() -> None:
    first = counted(refill("a"), 100).model_copy(update={"arrived": Decimal(30)})
    second = counted(refill("b", seconds=1), 130, first)
    assert second.credited_before == {"a": 30}
    assert [see(180, first, second)[each].arrived for each in "ab"] == [50, 30]
    # The same after the first one has ended by it.
    assert see(180, second, ended=50)["b"].arrived == 30


def test_request_that_nobody_accepted_or_that_has_no_baseline_is_left_out() -> None:
    waiting = counted(refill("a", state=State.REQUESTED), 100)
    assert list(see(150, waiting, refill("b"), counted(refill("c"), 100))) == ["c"]
    assert see(150, waiting, counted(refill("c"), 100))["c"].state is State.VERIFIED


def test_payouts_count_as_if_the_money_were_still_there() -> None:
    assert see(100, counted(refill("a"), 90), paid=40)["a"].arrived == 50


def test_ended_requests_are_credited_by_when_they_ended_with_what_they_asked_for_at_most() -> None:
    credited = EndedCredits()
    for name, arrived, ended in (("a", 30, 1), ("b", 90, 2), ("c", 0, 2)):
        credited.add(refill(name, arrived=Decimal(arrived), changed_at=at(ended), state=State.EXPIRED), ended)
    assert [credited.since(seconds) for seconds in (0, 1, 2)] == [80, 50, 0]
    credited.forget(1)
    assert (len(credited), credited.since(0)) == (1, 50)


def test_what_came_for_a_replaced_request_is_the_replacers_own_from_its_baseline_on() -> None:
    calm = counted(refill("a"), 100).model_copy(update={"arrived": Decimal(10)})
    urgent = counted(refill("b", 80, seconds=1), 110, calm)
    ended = calm.model_copy(
        update={"arrived": Decimal(25), "replaced_by": "b", "changed_at": at(5), "state": State.CANCELLED}
    )
    credited = EndedCredits()
    credited.add(ended, 5, urgent)
    assert credited.since(1) == 10
    assert see(190, urgent, ended=credited.since(1))["b"].arrived == 80
    unknown = EndedCredits()
    unknown.add(ended, 5)
    assert len(unknown) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("ask"), st.integers(1, 60)),
            st.tuples(st.just("come"), st.integers(1, 90)),
            st.tuples(st.just("expire"), st.integers(0, 5)),
        ),
        max_size=30,
    )
)
def test_no_more_is_credited_than_came_in(steps: list[tuple[str, int]]) -> None:
    """However requests and arrivals are interleaved, with partial arrivals, expiries and late ones."""
    balance, came, records, ended, done = Decimal(1000), Decimal(0), list[Replenishment](), EndedCredits(), Decimal(0)
    for number, (step, amount) in enumerate(steps):
        now = at(number)
        if step == "ask":
            made = refill(str(number), amount, number)
            records.append(count_from(made, GroupReading(balance, now), "m", now, records))
            continue
        if step == "come":
            balance, came = balance + amount, came + amount
        elif amount < len(records):
            records[amount] = records[amount].model_copy(update={"state": State.EXPIRED, "changed_at": now})
        expired = [each for each in records if not each.open]
        for each in expired:
            ended.add(each, number)
            done += credit_of(each)
        records = see_arrivals(
            [each for each in records if each.open],
            GroupReading(balance, now),
            paid_since=lambda _: Decimal(0),
            ended_since=lambda each: ended.since((counted_since(each) - NOON).total_seconds()),
            tolerance=lambda _: Decimal(0),
            now=now,
        )
        for each in records:
            if not each.open:
                ended.add(each, number)
                done += credit_of(each)
        records = [each for each in records if each.open]
        assert done + sum(credit_of(each) for each in records) <= came
