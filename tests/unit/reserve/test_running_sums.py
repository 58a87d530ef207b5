"""Sums that are kept up to date equal those of a full calculation."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.holds import GroupReading
from reservd.reserve.running_sums import Payouts, RunningSums
from support.reserve import NOON

SECOND = timedelta(seconds=1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 9), st.integers(0, 99)),
        st.tuples(st.just("ask"), st.integers(-1, 10), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("drop_until"), st.integers(0, 4), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_sum_after_a_time_is_of_all_that_were_taken_in_and_not_out(steps: list[tuple[str, int, int]]) -> None:
    sums, expected = RunningSums(), dict[int, tuple[int, int]]()
    for position, (step, at, amount) in enumerate(steps):
        if step == "add":
            sums.add(at, position, Decimal(amount))
            expected[position] = at, amount
        elif step == "drop":
            sums.drop({at})
            expected.pop(at, None)
        elif step == "drop_until":
            sums.drop_until(at)
            expected = {key: each for key, each in expected.items() if each[0] > at}
        assert sums.after(at) == sum(amount for when, amount in expected.values() if when > at)
        assert len(sums) == len(expected)


def test_sum_holds_when_an_amount_comes_late_and_others_are_dropped() -> None:
    sums = RunningSums()
    sums.add(5, 1, Decimal(10))
    assert (sums.after(0), sums.after(5)) == (10, 0)
    sums.add(3, 2, Decimal(7))
    assert (sums.after(0), sums.after(3)) == (17, 10)
    sums.drop_until(2)
    assert sums.after(0) == 17
    sums.drop_until(3)
    assert sums.after(0) == 10
    sums.drop({1})
    assert (sums.after(0), len(sums)) == (0, 0)


def reading(seconds: int, block: int | None = None) -> GroupReading:
    return GroupReading(Decimal(0), NOON + seconds * SECOND, block)


def test_payout_is_between_the_reading_that_shows_it_and_the_one_that_does_not() -> None:
    payouts = Payouts()
    payouts.add(1, Decimal(10), NOON + 5 * SECOND, None)
    payouts.add(2, Decimal(7), NOON + 6 * SECOND, 20)
    payouts.add(2, Decimal(7), NOON + 6 * SECOND, 20)
    assert payouts.between(reading(4), reading(6)) == 17
    assert payouts.between(reading(5), reading(6)) == 7
    assert payouts.between(reading(6), reading(4)) == 0
    assert payouts.between(reading(4, 19), reading(6, 20)) == 17
    # By its block if both readings have one, however late its time.
    assert payouts.between(reading(0, 19), reading(4, 20)) == 7
    assert payouts.between(reading(0, 20), reading(9)) == 17


def test_payouts_before_a_time_are_forgotten() -> None:
    payouts = Payouts()
    payouts.add(1, Decimal(10), NOON, 3)
    payouts.add(2, Decimal(7), NOON + SECOND, None)
    payouts.forget(NOON)
    assert len(payouts) == 2
    payouts.forget(NOON + SECOND)
    assert (len(payouts), payouts.between(reading(-1), reading(9))) == (1, 7)
