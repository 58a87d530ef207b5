"""Readings that jump: what the tracker believes, and when."""

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
    """A critical mode whose equity jumps tenfold must not ask for ten times the refill."""
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
    assert said.reason == "nothing certain for 150 s: balance went from 110 to 1 USDT, and no second reading agrees"


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
