"""Readings that jump: what the tracker believes, and when."""

from datetime import timedelta

from reservd.reserve.models import ReserveStatus
from support.reserve import NOT_READ, Watched, reach

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


def test_jump_that_would_change_the_status_waits_for_a_second_reading() -> None:
    mode = reach(ADEQUATE)
    assert mode.look(30) is None
    assert (mode.status, mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (
        ADEQUATE,
        False,
        True,
        False,
    )
    assert mode.look(31, after=1).event_type == "reserve_critical"
    assert (mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (True, False, True)


def test_second_reading_that_disagrees_is_doubted_in_its_turn() -> None:
    mode = reach(ADEQUATE)
    assert [mode.look(amount) for amount in (30, 5, 30)] == [None, None, None]
    assert mode.look(31).event_type == "reserve_critical"


def test_doubt_is_over_when_the_next_reading_is_as_before() -> None:
    mode = reach(ADEQUATE)
    mode.look(0)
    mode.look(110)
    assert mode.state.doubted is None
    assert mode.look(0) is None


def test_jump_that_changes_nothing_keeps_the_status_fresh_and_is_not_believed() -> None:
    mode = reach(ADEQUATE)
    mode.look(1000)
    assert (mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (True, False, False)
    assert (mode.state.believed_balance, mode.state.good.reserve_balance) == (110, 110)
    mode.look(1001)
    assert (mode.state.believed_balance, mode.step.actionable) == (1001, True)


def test_jump_that_changes_nothing_asks_again_when_a_refill_waits_for_it() -> None:
    """A critical mode whose equity jumps tenfold must not request ten times the refill."""
    mode = reach(CRITICAL)
    mode.look(49, equity=10000)
    assert (mode.status, mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (CRITICAL, True, True, False)
    mode.look(49, equity=10000, after=1)
    assert (mode.step.recheck, mode.step.actionable) == (False, True)


def test_jump_neither_counts_nor_resets_when_worse_checks_are_counted() -> None:
    mode = reach(ADEQUATE, confirmations=2)
    for amount in (80, 500):
        assert mode.look(amount) is None
    assert mode.step.recheck
    assert mode.look(80).event_type == "reserve_low"


def test_readings_that_never_agree_end_in_unknown() -> None:
    mode = reach(ADEQUATE)
    for amount in (1, 10, 1, 10, 1):
        mode.look(amount)
    said = mode.events[-1]
    assert said.event_type == "reserve_unknown"
    assert said.reason == "no conclusive check for 150 s: balance went from 110 to 1 USDT, and no second reading agrees"


def test_complete_balance_is_compared_with_what_was_certain_when_only_a_part_was_ever_read() -> None:
    mode = Watched()
    mode.look(120, missing=[NOT_READ])
    assert mode.status is ADEQUATE
    assert mode.look(0) is None
    assert mode.step.recheck


def test_partial_balance_does_not_replace_the_believed_one() -> None:
    mode = reach(ADEQUATE)
    mode.look(104, missing=[NOT_READ])
    assert mode.state.believed_balance == 110


def test_same_observation_is_no_second_reading() -> None:
    mode = reach(ADEQUATE)
    mode.look(0)
    assert mode.step.recheck
    assert mode.look(0, after=1, age=1) is None
    assert (mode.step.recheck, mode.step.conclusive, mode.step.actionable) == (False, False, False)
    assert mode.look(0, after=29).event_type == "reserve_critical"


def test_older_observation_than_the_first_is_no_second_reading() -> None:
    """As from a lagging node: the next reading may be the first one again."""
    mode = reach(ADEQUATE)
    mode.look(0)
    for age in (13, 2):
        assert mode.look(0, after=1, age=age) is None


def test_wait_for_another_observation_ends_when_a_source_tells_the_same_for_two_minutes() -> None:
    mode = reach(ADEQUATE, max_staleness=timedelta(hours=2))
    mode.look(0, age=600)
    waited = [mode.look(0, age=600 + after) for after in (30, 60, 90)]
    assert waited == [None, None, None]
    assert mode.look(0, age=720).event_type == "reserve_critical"


def test_wait_is_for_the_amount_that_is_doubted_now() -> None:
    mode = reach(ADEQUATE, max_staleness=timedelta(hours=2))
    for amount in (0, 10, 0, 10):
        assert mode.look(amount, age=600, after=100) is None
        assert mode.step.recheck


def test_jump_that_changes_nothing_asks_once_while_it_is_the_same_observation() -> None:
    mode = reach(CRITICAL)
    mode.look(49, equity=10000)
    assert mode.step.recheck
    mode.look(49, equity=10000, after=1, equity_age=1)
    assert (mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (True, False, False)


def test_unknown_says_what_jumped_while_it_waits_for_another_observation() -> None:
    mode = reach(ADEQUATE)
    mode.fail(after=100)
    mode.look(1, after=10)
    mode.look(1, after=11, age=11)
    said = mode.events[-1]
    assert said.event_type == "reserve_unknown"
    assert said.reason == "no conclusive check for 121 s: balance went from 110 to 1 USDT, and no second reading agrees"
