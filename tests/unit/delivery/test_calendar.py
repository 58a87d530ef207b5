"""Ages, on a machine whose clock is set while the daemon runs."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reservd.delivery.calendar import Calendar
from reservd.reserve.state import Instant
from support.reserve import NOON


class SetClock:
    """A clock whose wall can be set apart from the time that passes."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.off = 0.0

    def now(self) -> Instant:
        return Instant(NOON + timedelta(seconds=self.passed + self.off), self.passed)


def test_nothing_ages_by_a_day_when_the_clock_is_set_forward_by_one() -> None:
    clock = SetClock()
    calendar = Calendar(clock)
    decided_at = clock.now().wall
    clock.passed, clock.off = 60, 86_400
    assert calendar.now() - decided_at == timedelta(seconds=60)


def test_what_is_decided_after_a_clock_was_set_back_is_as_old_as_that_clock_says() -> None:
    clock = SetClock()
    calendar = Calendar(clock)
    clock.passed, clock.off = 60, -86_400
    decided_at = clock.now().wall
    clock.passed += 30
    assert calendar.now() - decided_at == timedelta(seconds=30)


@given(decided_after=st.floats(0, 1e6), then=st.floats(0, 1e6), off=st.floats(-1e8, 1e8), set_before=st.booleans())
def test_nothing_is_older_than_the_time_that_has_passed_when_a_clock_was_set_once(
    decided_after: float, then: float, off: float, *, set_before: bool
) -> None:
    clock = SetClock()
    calendar = Calendar(clock)
    clock.off = off if set_before else 0
    clock.passed = decided_after
    decided_at = clock.now().wall
    clock.passed, clock.off = decided_after + then, off
    assert (calendar.now() - decided_at).total_seconds() <= then + 1e-3
