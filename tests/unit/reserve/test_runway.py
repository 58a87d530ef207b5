"""How long a reserve lasts, and the single warning before it runs out."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest

from reservd.reserve.models import ADEQUATE, LOW, EventType, ReserveSnapshot, ReserveStatus
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.readings import Balance, Equity
from reservd.reserve.runway import Outflow, Runway, project, warn
from reservd.reserve.state import Instant, Step, TrackerState
from support.reserve import find

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
POLICY = ReservePolicy("m", "USDT", Decimal("0.1"), runway_warning=timedelta(hours=2))
HOURS = 3600.0


def outflow_of(*readings: tuple[float, object], window: float = HOURS, gap: float = 3600.0) -> Outflow:
    """Return the outflow of balances that were read at these seconds."""
    outflow = Outflow(window, gap)
    for at, balance in readings:
        outflow.note(at, Decimal(str(balance)))
    return outflow


def snapshot_of(balance: object, equity: object = 1000) -> ReserveSnapshot:
    """Return the snapshot of a check."""
    told = Balance("main", "USDT", Decimal(str(balance)), NOON)
    return find(POLICY, Equity(Decimal(str(equity)), "USDT", NOON), [told], now=NOON)


def test_runway_is_what_is_above_a_threshold_by_what_leaves() -> None:
    outflow = outflow_of((0, 200), (1800, 190), (3600, 180))
    runway = project(outflow, snapshot_of(180), POLICY, 3600)
    assert runway == Runway(4 * HOURS, 6.5 * HOURS, Decimal(20), HOURS)


def test_runway_is_0_when_the_threshold_is_passed() -> None:
    outflow = outflow_of((0, 110), (3600, 90))
    runway = project(outflow, snapshot_of(90), POLICY, 3600)
    assert runway is not None
    assert (runway.low_seconds, runway.critical_seconds) == (0, 2 * HOURS)


@pytest.mark.parametrize(
    "readings",
    [
        [(0, 200), (3600, 200)],
        [(0, 200), (1800, 190), (3600, 205)],
        [(0, 200)],
        [],
        [(0, 200), (60, 190)],  # too short to tell
        [(0, 200), (4000, 100)],  # a gap
        [(0, 200), (0, 100)],
    ],
)
def test_there_is_no_runway_when_nothing_is_known_to_leave(readings: list[tuple[float, object]]) -> None:
    outflow = outflow_of(*readings)
    assert project(outflow, snapshot_of(150), POLICY, readings[-1][0] if readings else 0) is None


def test_there_is_no_runway_without_a_target_or_a_balance() -> None:
    outflow = outflow_of((0, 200), (3600, 180))
    assert project(outflow, snapshot_of(180, equity=0), POLICY, 3600) is None
    unknown = find(POLICY, Equity(Decimal(1000), "USDT", NOON), [], now=NOON)
    assert project(outflow, unknown, POLICY, 3600) is None


def test_refill_counts_as_nothing_and_a_small_deposit_as_what_it_is() -> None:
    refilled = outflow_of((0, 200), (1200, 180), (2400, 250), (3600, 240))
    assert refilled.measure(3600) == (Decimal(30), HOURS)
    deposited = outflow_of((0, 200), (1200, 180), (2400, 190), (3600, 170))
    assert deposited.measure(3600) == (Decimal(30), HOURS)


def test_gap_counts_neither_as_outflow_nor_as_time() -> None:
    outflow = outflow_of((0, 200), (900, 190), (2700, 100), (3600, 90), gap=900)
    assert outflow.measure(3600) == (Decimal(20), HOURS / 2)


def test_time_that_the_reserve_was_left_alone_counts_when_it_held_what_it_held() -> None:
    outflow = outflow_of((0, 200), (1800, 190))
    outflow.hold(3600, Decimal(190))
    assert outflow.measure(3600) == (Decimal(10), HOURS)
    outflow.hold(3000, Decimal(7))
    assert outflow.measure(3600) == (Decimal(10), HOURS)
    Outflow(1, 1).hold(5, Decimal(1))


def test_reading_that_came_too_soon_to_be_noted_counts_when_nothing_came_after_it() -> None:
    outflow = outflow_of((0, 200))
    assert outflow.due_at == 60
    outflow.hold(3600, Decimal(190))
    assert outflow.measure(3600) == (Decimal(10), HOURS)
    outflow = outflow_of((0, 200), (3570, 190))
    outflow.hold(3600, Decimal(180))
    assert outflow.measure(3600) == (Decimal(20), HOURS)


def test_outflow_leaves_the_window_as_it_slides() -> None:
    outflow = outflow_of(*((at, 1000 - at / 60) for at in range(0, 3601, 60)))
    assert outflow.moved
    full, _ = outflow.measure(3600) or (None, None)
    outflow.hold(5400, Decimal(940))
    half, watched = outflow.measure(5400) or (Decimal(0), 0)
    assert full == 60
    assert float(half) == pytest.approx(30, abs=1)
    assert watched == pytest.approx(3600, abs=1)
    outflow.hold(9100, Decimal(940))
    assert not outflow.moved
    assert outflow.measure(9100) == (0, pytest.approx(3600, abs=1))
    assert outflow.measure(50_000) is None


def ids() -> Iterator[str]:
    """Yield ids."""
    return (f"id-{number}" for number in count())


def step_of(confirmed: ReserveStatus = ADEQUATE, good: ReserveSnapshot | None = None) -> Step:
    """Return the result of a check."""
    state = TrackerState(0.0, confirmed=confirmed, sequence=4, good=good)
    return Step(state, None, conclusive=True, recheck=False)


def lasting(hours: float) -> Runway:
    """Return a runway."""
    return Runway(hours * HOURS, (hours + 0.2) * HOURS, Decimal(20), HOURS)


def test_warning_is_given_once_and_again_after_the_runway_was_long() -> None:
    step, now, new_id = step_of(good=snapshot_of(120)), Instant(NOON, 9.0), ids().__next__
    step = warn(step, lasting(2.1), POLICY, now, new_id)
    assert step.event is None
    step = warn(step, lasting(1.9), POLICY, now, new_id)
    event = step.event
    assert event is not None
    assert event.event_type is EventType.RUNWAY_LOW
    assert (event.sequence, event.incident_id, event.status, event.reserve_balance) == (5, None, "adequate", 120)
    assert not event.is_change
    assert event.reason == (
        "the reserve falls by 20 USDT an hour, measured over 60 minutes: low in 1.9 h, critical in 2.1 h"
    )
    for hours in (1.9, 2.5, 1.0):
        step = warn(step._replace(event=None), lasting(hours), POLICY, now, new_id)
        assert step.event is None
    for long_again in (lasting(3.1), None):
        step = warn(step._replace(event=None), long_again, POLICY, now, new_id)
        assert not step.state.warned
        step = warn(step, lasting(0.5), POLICY, now, new_id)
        assert step.event is not None
        assert "low in 30 minutes" in step.event.reason


@pytest.mark.parametrize(
    ("runway", "told"),
    [
        (Runway(29.0, 89.0, Decimal(2), 45.0), "measured over 45 s: low in 29 s, critical in 89 s"),
        (Runway(119.0, 120.0, Decimal(2), 900.0), "measured over 15 minutes: low in 119 s, critical in 2 minutes"),
    ],
)
def test_warning_tells_short_times_in_seconds(runway: Runway, told: str) -> None:
    """Half a minute would be told as "0 minutes", as if it had passed."""
    step = warn(step_of(), runway, POLICY, Instant(NOON, 9.0), ids().__next__)
    assert step.event is not None
    assert step.event.reason.endswith(told)


def test_no_warning_is_given_when_none_is_wanted_or_something_else_is_said() -> None:
    now, new_id = Instant(NOON, 9.0), ids().__next__
    said = warn(step_of(), lasting(1), POLICY, now, new_id)
    for step, policy, runway in (
        (step_of(), ReservePolicy("m", "USDT", Decimal("0.1")), lasting(1)),
        (step_of(confirmed=LOW), POLICY, lasting(1)),
        (step_of(), POLICY, None),
        (step_of()._replace(event=said.event), POLICY, lasting(1)),
    ):
        assert warn(step, runway, policy, now, new_id) is step
