"""Ages of events on a machine whose clock is set while the daemon runs."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reservd.delivery.age_clock import AgeClock
from reservd.reserve.state import Instant
from support.reserve import NOON


class SetClock:
    """A clock whose wall-clock time can be set independently of the time that passes."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.off = 0.0

    def now(self) -> Instant:
        return Instant(NOON + timedelta(seconds=self.passed + self.off), self.passed)


def test_nothing_ages_by_a_day_when_the_clock_is_set_forward_by_one() -> None:
    clock = SetClock()
    age_clock = AgeClock(clock)
    decided_at = clock.now().wall
    clock.passed, clock.off = 60, 86_400
    assert age_clock.now() - decided_at == timedelta(seconds=60)


def test_what_is_decided_after_a_clock_was_set_back_is_as_old_as_that_clock_says() -> None:
    clock = SetClock()
    age_clock = AgeClock(clock)
    clock.passed, clock.off = 60, -86_400
    decided_at = clock.now().wall
    clock.passed += 30
    assert age_clock.now() - decided_at == timedelta(seconds=30)


HOURS = st.floats(-100, 100)


@given(st.lists(st.tuples(st.floats(0, 2), HOURS), max_size=20))
def test_nothing_is_older_than_the_time_that_has_passed_when_a_clock_is_set_again_and_again(
    steps: list[tuple[float, float]],
) -> None:
    """Within the 48 hours that it remembers."""
    clock = SetClock()
    age_clock = AgeClock(clock, timedelta(hours=48))
    decided = []
    for hours, off in steps:
        clock.passed += hours * 3600
        clock.off = off * 3600
        decided.append((clock.passed, clock.now().wall))
        now = age_clock.now()
        for passed, decided_at in decided:
            assert (now - decided_at).total_seconds() <= clock.passed - passed + 1.1


def test_clock_that_was_wrong_for_a_moment_is_forgotten_after_a_while() -> None:
    """The clock showed 1970; the age of later events is measured correctly again."""
    clock = SetClock()
    age_clock = AgeClock(clock, timedelta(hours=24))
    clock.passed, clock.off = 60, -1e9
    age_clock.now()
    clock.passed, clock.off = 120, 0
    decided_at = clock.now().wall
    assert age_clock.now() < decided_at
    clock.passed += 25 * 3600
    assert age_clock.now() - decided_at == timedelta(hours=25)


def test_clock_that_is_slewed_is_not_taken_for_one_that_is_set() -> None:
    clock = SetClock()
    age_clock = AgeClock(clock, timedelta(hours=24))
    for second in range(1000):
        clock.passed, clock.off = float(second), second * 1e-4
        age_clock.now()
    assert len(age_clock._settings) == 1


@given(decided_after=st.floats(0, 1e6), then=st.floats(0, 1e6), off=st.floats(-1e8, 1e8), set_before=st.booleans())
def test_nothing_is_older_than_the_time_that_has_passed_when_a_clock_was_set_once(
    decided_after: float, then: float, off: float, *, set_before: bool
) -> None:
    clock = SetClock()
    age_clock = AgeClock(clock)
    clock.off = off if set_before else 0
    clock.passed = decided_after
    decided_at = clock.now().wall
    clock.passed, clock.off = decided_after + then, off
    assert (age_clock.now() - decided_at).total_seconds() <= then + 1e-3
