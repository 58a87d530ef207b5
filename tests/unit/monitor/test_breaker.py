"""A source that keeps failing is read less often, but often enough to notice its recovery in time."""

from itertools import pairwise

import pytest

from reservd.errors import CallError, FailureReason
from reservd.monitor.sources.breaker import FAILURES, LONGEST_PAUSE_SECONDS, Circuit, after_failure, is_due, pass_over

DOWN = CallError(FailureReason.UNREACHABLE, "down")


def asks_for(seconds: float | None) -> CallError:
    """Return the failure of a source that asks for a pause of this length."""
    return CallError(FailureReason.RATE_LIMITED, "HTTP 429", retry_after_seconds=seconds)


def asked_at(
    *,
    until: float,
    every: float,
    stalenesses: tuple[float, ...] = (),
    well_at: float = 0.0,
    failure: CallError = DOWN,
) -> list[float]:
    """Return when a failing source is read, with cycles at an interval."""
    circuit: Circuit | None = None
    asked = []
    now = well_at + every
    while now <= until:
        if circuit is None or is_due(circuit, now, stalenesses):
            asked.append(now)
            circuit = after_failure(circuit, failure, well_at, now)
        else:
            circuit = pass_over(circuit, now)
        now += every
    return asked


def test_every_second_then_fourth_then_eighth_cycle_asks_when_it_failed_three_times_in_a_row() -> None:
    assert asked_at(until=400, every=10) == [10, 20, 30, 50, 90, 170, 330]


def test_circuit_is_open_from_the_third_failure() -> None:
    circuit = None
    opened = []
    for number in range(FAILURES):
        circuit = after_failure(circuit, DOWN, 0, number)
        opened.append(circuit.open)
    assert opened == [False, False, True]


@pytest.mark.parametrize("every", [0.5, 7, 30, 60, 110, 149])
def test_no_pause_is_longer_than_five_minutes(every: float) -> None:
    asked = asked_at(until=20_000, every=every)
    gaps = [late - early for early, late in pairwise(asked)]
    assert max(gaps) <= LONGEST_PAUSE_SECONDS
    assert max(gaps) > LONGEST_PAUSE_SECONDS / 2


def test_every_cycle_asks_when_they_are_minutes_apart() -> None:
    assert asked_at(until=2400, every=240) == [240 * number for number in range(1, 11)]


def test_every_cycle_asks_when_modes_would_be_unknown_before_a_pause_is_over() -> None:
    """A staleness of three intervals, the default, leaves no room for pauses."""
    assert asked_at(until=120, every=30, stalenesses=(120,)) == [30, 60, 90, 120]


@pytest.mark.parametrize("staleness", [100, 600, 3600, 86_400])
def test_source_that_is_well_two_cycles_before_modes_are_unknown_is_seen_to_be(staleness: float) -> None:
    asked = asked_at(until=2 * staleness, every=10, stalenesses=(staleness,))
    assert any(staleness - 20 <= at <= staleness for at in asked)


@pytest.mark.parametrize("staleness", [20, 120, 300, 3600])
def test_source_is_never_left_alone_for_half_of_what_makes_modes_unknown(staleness: float) -> None:
    """However long it was down: once the source recovers, its modes must not remain unknown for long."""
    asked = asked_at(until=50 * staleness, every=10, stalenesses=(staleness, 86_400))
    gaps = [late - early for early, late in pairwise(asked)]
    assert max(gaps) <= min(LONGEST_PAUSE_SECONDS, max(10, staleness / 2))


def test_nearest_limit_counts_when_modes_have_different_ones() -> None:
    asked = asked_at(until=600, every=10, stalenesses=(200, 500))
    assert any(180 <= at <= 200 for at in asked)
    assert any(480 <= at <= 500 for at in asked)
    assert len(asked) < 30


def test_source_is_left_alone_from_its_first_failure_for_as_long_as_it_asks() -> None:
    """An exchange may extend a ban with each request that comes too soon."""
    circuit = after_failure(None, asks_for(60), 0, 10)
    assert circuit.open
    assert [is_due(circuit._replace(passed_over=passed), 10 + 20 * (passed + 1), ()) for passed in range(3)] == [
        False,
        False,
        True,
    ]


def test_source_that_asks_for_a_minute_is_asked_in_time_to_be_seen_well() -> None:
    """With a staleness of three intervals, the default: one more attempt before modes become unknown, then none too
    soon.
    """
    assert asked_at(until=300, every=30, stalenesses=(120,), failure=asks_for(60)) == [30, 90, 150, 210, 270]
    assert asked_at(until=720, every=30, stalenesses=(120,), failure=asks_for(240))[:3] == [30, 90, 330]


def test_source_under_maintenance_is_seen_well_in_time_whatever_it_asks_for() -> None:
    """It reports when it hopes to be back, which may be sooner. Unlike with a rate limit, trying does no harm."""
    back_in_an_hour = CallError(FailureReason.REJECTED, "HTTP 503", retry_after_seconds=3600)
    assert asked_at(until=120, every=30, stalenesses=(120,), failure=back_in_an_hour) == [30, 60, 90, 120]
    asked = asked_at(until=6000, every=30, stalenesses=(300,), failure=back_in_an_hour)
    assert max(late - early for early, late in pairwise(asked)) <= 150
    assert max(late - early for early, late in pairwise(asked_at(until=6000, every=30, failure=back_in_an_hour))) == 300


@pytest.mark.parametrize("seconds", [301, 86_400, 1e30])
def test_source_is_asked_after_five_minutes_whatever_it_asks_for(seconds: float) -> None:
    asked = asked_at(until=3000, every=30, stalenesses=(120,), failure=asks_for(seconds))
    assert asked[:3] == [30, 90, 390]
    assert max(late - early for early, late in pairwise(asked)) <= LONGEST_PAUSE_SECONDS


@pytest.mark.parametrize("seconds", [None, 0, -5, float("nan")])
def test_source_is_asked_as_usual_when_it_asks_for_no_time(seconds: float | None) -> None:
    asked = asked_at(until=400, every=10, failure=asks_for(seconds))
    assert asked == asked_at(until=400, every=10)


def test_every_mode_has_its_last_look_when_a_source_asks_to_be_left_alone() -> None:
    asked = asked_at(until=290, every=10, stalenesses=(100, 200), failure=asks_for(300))
    assert asked == [10, 90, 190]


def test_mode_has_its_last_look_when_modes_of_another_interval_ask_at_the_same_moments() -> None:
    """Two cycles at almost the same moment do not mean that the next cycle is as near."""
    circuit = after_failure(None, asks_for(300), 0, 30)
    asked = []
    for now in (60, 60.1, 90, 120, 120.1):
        if is_due(circuit, now, (120,)):
            asked.append(now)
            circuit = after_failure(circuit, asks_for(300), 0, now)
        else:
            circuit = pass_over(circuit, now)
    assert asked == [90]
