"""How old the inputs of a status may become before it is unknown."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.models import ReserveStatus
from support.reserve import Watched

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


@pytest.mark.parametrize("late", ["age", "equity_age"])
def test_staleness_counts_from_when_the_oldest_input_was_observed(late: str) -> None:
    mode = Watched()
    mode.look(150, **{late: 90})
    assert mode.fail(after=30) is None
    said = mode.fail(after=1)
    assert said is not None
    assert said.event_type == "reserve_unknown"
    assert said.reason == "no conclusive check for 121 s: bank/spot: timeout; nav: timeout"


def test_nothing_is_younger_because_a_clock_is_ahead() -> None:
    mode = Watched()
    mode.look(150, age=-100)
    assert mode.fail(after=120) is None
    assert mode.fail(after=1) is not None


def test_jump_that_changes_nothing_is_as_fresh_as_what_was_observed() -> None:
    mode = Watched()
    mode.look(150)
    mode.look(1000, age=100)
    assert mode.fail(after=20) is None
    assert mode.fail(after=1) is not None


@pytest.mark.parametrize("age", [0, 60, 90])
def test_status_holds_when_observations_are_always_so_old(age: int) -> None:
    mode = Watched()
    for _ in range(50):
        mode.look(150, age=age, equity_age=age)
    assert (mode.said, mode.status) == ([], ADEQUATE)


def test_age_before_a_restart_counts_up_to_half_of_what_is_allowed() -> None:
    """A source with a constant lag of 100 s is read again first; one with a lag of 10 s has the rest of the time."""
    for age, left in ((100, 60), (10, 105)):
        mode = Watched()
        mode.look(150, age=age)
        mode.restart(down=5)
        assert mode.fail(after=left) is None
        assert mode.fail(after=1) is not None


def test_age_is_kept_over_a_restart() -> None:
    mode = Watched(max_staleness=timedelta(hours=1))
    mode.look(150, age=1000)
    mode.restart(down=500)
    assert mode.state.age_at(mode.seconds) == 1500


AGES = st.integers(0, 120) | st.none()


@given(st.lists(st.tuples(AGES, AGES, st.sampled_from([1, 30, 60])), min_size=1, max_size=20))
@settings(max_examples=200)
def test_no_status_rests_on_an_input_that_is_too_old(looks: list[tuple[int | None, int | None, int]]) -> None:
    """After every check, either all inputs of the status were observed within 120 s, or it is UNKNOWN."""
    mode, observed, now = Watched(), 0, 0
    for age, equity_age, after in looks:
        now += after
        if age is None or equity_age is None:
            mode.fail(after=after)
        else:
            mode.look(150, after=after, age=age, equity_age=equity_age)
            observed = now - max(age, equity_age)
        assert (mode.status is UNKNOWN) is (now - observed > 120)
