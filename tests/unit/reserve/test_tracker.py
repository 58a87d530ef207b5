from datetime import timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reservd.reserve.models import ReserveStatus
from reservd.reserve.tracker import Instant, TrackerState, advance
from support.reserve import DEBT_NOT_READ, NOON, NOT_READ, Watched, make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
# Within a jump of each other, so that each is believed at first sight.
AMOUNT = {ADEQUATE: 110, LOW: 74, CRITICAL: 49}
STEPS = {ADEQUATE: (110,), LOW: (110, 74), CRITICAL: (110, 74, 49)}


def reach(status: ReserveStatus, **policy: object) -> Watched:
    """Return a mode that was brought to a status without a jump."""
    mode = Watched(**policy)
    for amount in STEPS.get(status, ()):
        mode.look(amount)
    assert mode.status is status
    return mode


def lose(mode: Watched) -> None:
    """Let nothing be read until the status is UNKNOWN."""
    while mode.status is not UNKNOWN:
        mode.fail()


@pytest.mark.parametrize(("status", "event"), [(LOW, "reserve_low"), (CRITICAL, "reserve_critical")])
def test_first_snapshot_opens_an_incident_when_it_is_not_adequate(status, event):
    mode = Watched()
    said = mode.look(AMOUNT[status])
    assert (said.event_type, said.status, said.previous_status, said.sequence) == (event, status, None, 1)
    assert said.incident_id == mode.state.incident_id is not None
    assert mode.state.incident_severity is status
    assert not said.reminder


def test_first_snapshot_says_nothing_when_it_is_adequate():
    mode = Watched()
    assert mode.look(110) is None
    assert (mode.status, mode.state.sequence, mode.state.incident_severity) == (ADEQUATE, 0, None)


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [(ADEQUATE, LOW, "reserve_low"), (ADEQUATE, CRITICAL, "reserve_critical")],
)
def test_worsening_opens_an_incident_when_none_was_open(before, after, event):
    mode = reach(before)
    mode.look(80 if after is LOW else 74, equity=1000 if after is LOW else 1490)
    said = mode.events[-1]
    assert (said.event_type, said.status, said.previous_status) == (event, after, before)
    assert said.incident_id == mode.state.incident_id is not None


@pytest.mark.parametrize(
    ("before", "after", "event"), [(LOW, CRITICAL, "reserve_critical"), (CRITICAL, LOW, "reserve_low")]
)
def test_change_of_severity_keeps_the_incident_when_one_is_open(before, after, event):
    mode = reach(before)
    incident = mode.state.incident_id
    said = mode.look(AMOUNT[after] - 1)
    assert (said.event_type, said.previous_status, said.incident_id) == (event, before, incident)
    assert mode.state.incident_severity is after


@pytest.mark.parametrize("before", [LOW, CRITICAL])
def test_recovery_closes_the_incident_and_names_it(before):
    mode = reach(before)
    incident = mode.state.incident_id
    mode.look(74)
    said = mode.look(110)
    assert (said.event_type, said.status, said.incident_id) == ("reserve_adequate", ADEQUATE, incident)
    assert (mode.state.incident_id, mode.state.incident_severity) == (None, None)
    assert mode.look(74).incident_id != incident


@pytest.mark.parametrize("before", [ADEQUATE, LOW, CRITICAL])
def test_unknown_keeps_the_incident_and_the_numbers_when_nothing_can_be_read(before):
    mode = reach(before)
    good, incident = mode.state.good, mode.state.incident_id
    lose(mode)
    said = mode.events[-1]
    assert (said.event_type, said.status, said.previous_status) == ("reserve_unknown", UNKNOWN, before)
    assert (said.incident_id, mode.state.incident_id) == (incident, incident)
    assert (said.reserve_balance, said.observed_at) == (good.reserve_balance, good.observed_at)
    assert mode.state.incident_severity is (before if incident else None)


def test_unknown_carries_no_numbers_when_there_never_were_any():
    mode = Watched()
    lose(mode)
    said = mode.events[0]
    assert (said.sequence, said.previous_status, said.reserve_balance, said.incident_id) == (1, None, None, None)
    assert said.reason == "nothing certain for 150 s: bank/spot: timeout; nav: timeout"


@pytest.mark.parametrize("before", [ADEQUATE, LOW, CRITICAL])
@pytest.mark.parametrize("after", [ADEQUATE, LOW, CRITICAL])
def test_return_from_unknown_goes_on_from_the_status_before_it(before, after):
    mode = reach(before)
    incident = mode.state.incident_id
    lose(mode)
    for _ in range(2):  # a move as large as a jump takes a second look
        mode.look(AMOUNT[after])
    said = [event for event in mode.events if event.status is not UNKNOWN][-1]
    assert mode.status is after
    assert (said.event_type, said.previous_status) == (f"reserve_{after}", UNKNOWN)
    if incident is not None:
        assert said.incident_id == incident
    else:
        assert (said.incident_id is None) == (after is ADEQUATE)
    assert mode.state.incident_id == (None if after is ADEQUATE else said.incident_id)


def test_return_from_unknown_is_said_when_the_first_reading_ever_is_adequate():
    """Somebody was told that nothing is known: they are told when it is."""
    mode = Watched()
    lose(mode)
    said = mode.look(110)
    assert (said.event_type, said.previous_status, said.incident_id) == ("reserve_adequate", UNKNOWN, None)


@pytest.mark.parametrize(
    ("looks", "statuses"),
    [
        ([80, 80, 80], [ADEQUATE, ADEQUATE, LOW]),
        ([80, 80, 110, 80, 80, 80], [ADEQUATE, ADEQUATE, ADEQUATE, ADEQUATE, ADEQUATE, LOW]),
        ([80, None, 80, None, None, 80], [ADEQUATE, ADEQUATE, ADEQUATE, ADEQUATE, ADEQUATE, LOW]),
        ([80, 49, 80], [ADEQUATE, ADEQUATE, LOW]),
        ([74, 49, 49, 49], [ADEQUATE, ADEQUATE, LOW, CRITICAL]),
    ],
)
def test_worsening_counts_only_after_enough_checks_in_a_row_at_least_as_severe(looks, statuses):
    """With three confirmations. None is a check that could not tell: it neither counts nor resets."""
    mode = Watched(confirmations=3, max_jump=Decimal(1))
    mode.look(110)
    seen = []
    for amount in looks:
        if amount is None:
            mode.fail()
        else:
            mode.look(amount)
        seen.append(mode.status)
    assert seen == statuses


def test_recovery_counts_at_once_when_worsening_needs_three():
    mode = Watched(confirmations=3)
    for _ in range(3):
        mode.look(74)
    assert mode.look(103).event_type == "reserve_adequate"


def test_nothing_is_confirmed_when_the_first_low_is_not_confirmed_yet():
    mode = Watched(confirmations=2)
    assert mode.look(80) is None
    assert (mode.status, mode.step.conclusive) == (None, True)
    assert mode.look(80).event_type == "reserve_low"


def test_unknown_stays_when_a_worse_status_is_not_confirmed_yet():
    mode = reach(ADEQUATE, confirmations=2, repeat_interval=timedelta(seconds=60))
    lose(mode)
    said = mode.look(80, after=60)
    assert (said.event_type, said.reminder) == ("reserve_unknown", True)
    assert said.reason == "a reading tells of a worse status than before, and not yet often enough in a row"
    assert mode.look(80).event_type == "reserve_low"


def test_known_low_returns_from_unknown_at_once_when_critical_is_not_confirmed_yet():
    mode = Watched(confirmations=2)
    for amount in (110, 74, 74):
        mode.look(amount)
    lose(mode)
    assert mode.look(49).event_type == "reserve_low"
    assert mode.look(49).event_type == "reserve_critical"


@pytest.mark.parametrize("status", [LOW, CRITICAL, UNKNOWN])
def test_reminders_come_at_the_interval_while_the_status_lasts(status):
    mode = reach(LOW if status is UNKNOWN else status)
    if status is UNKNOWN:
        lose(mode)
    first = mode.events[-1]
    reminders = []
    for _ in range(25):
        said = mode.fail() if status is UNKNOWN else mode.look(AMOUNT[status])
        if said is not None:
            reminders.append(said)
    assert [(said.timestamp - first.timestamp).total_seconds() for said in reminders] == [300, 600]
    assert [said.sequence - first.sequence for said in reminders] == [1, 2]
    for said in reminders:
        assert (said.reminder, said.event_type, said.previous_status) == (True, first.event_type, status)
        assert said.incident_id == first.incident_id


def test_no_reminder_comes_while_all_is_well():
    mode = reach(ADEQUATE)
    assert [mode.look(110, after=1000) for _ in range(3)] == [None, None, None]


def test_reminder_says_how_old_its_numbers_are_when_the_last_check_could_not_tell():
    mode = reach(LOW, max_staleness=timedelta(seconds=1000))
    said = mode.fail(after=300)
    assert (said.event_type, said.reminder, said.reserve_balance) == ("reserve_low", True, 74)
    assert said.reason.endswith("; as of 2026-01-05T12:01:00Z, nothing newer is certain")


def test_reminder_has_no_numbers_when_the_snapshot_was_not_remembered():
    mode = reach(LOW)
    mode.state = mode.state._replace(good=None)
    said = mode.fail(after=120)
    mode.state = mode.state._replace(announced_at=-300.0)
    said = mode.fail(after=0)
    assert (said.reminder, said.reserve_balance, said.reason) == (True, None, "the reserve is low")


def test_change_and_recovery_explain_themselves():
    mode = reach(ADEQUATE)
    mode.look(80)
    mode.look(105)
    assert [event.reason for event in mode.events] == [
        "80 of 100 USDT is 0.8 of the target, below 1.0 (low); 20 USDT short",
        "105 of 100 USDT is 1.05 of the target",
    ]


def test_staleness_counts_from_the_start_when_nothing_was_ever_read():
    mode = Watched()
    assert [mode.fail(after=60), mode.fail(after=60)] == [None, None]
    assert mode.fail(after=0.001).event_type == "reserve_unknown"


def test_staleness_counts_from_the_last_conclusive_check():
    mode = reach(ADEQUATE)
    for _ in range(20):
        assert mode.fail(after=100) is None
        assert mode.look(110, after=10) is None


def test_jump_that_would_change_the_status_waits_for_a_second_reading():
    mode = reach(ADEQUATE)
    assert mode.look(30) is None
    assert (mode.status, mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (ADEQUATE, False, True, False)
    assert mode.look(31, after=1).event_type == "reserve_critical"
    assert (mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (True, False, True)


def test_second_reading_that_disagrees_is_doubted_in_its_turn():
    mode = reach(ADEQUATE)
    assert [mode.look(amount) for amount in (30, 5, 30)] == [None, None, None]
    assert mode.look(31).event_type == "reserve_critical"


def test_doubt_is_over_when_the_next_reading_is_as_before():
    mode = reach(ADEQUATE)
    mode.look(0)
    mode.look(110)
    assert mode.state.doubted is None
    assert mode.look(0) is None


def test_jump_that_changes_nothing_keeps_the_status_fresh_and_is_not_believed():
    mode = reach(ADEQUATE)
    mode.look(1000)
    assert (mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (True, False, False)
    assert (mode.state.believed_balance, mode.state.good.reserve_balance) == (110, 110)
    mode.look(1001)
    assert (mode.state.believed_balance, mode.step.actionable) == (1001, True)


def test_jump_that_changes_nothing_asks_again_when_a_refill_waits_for_it():
    """A critical mode whose equity jumps tenfold must not ask for ten times the refill."""
    mode = reach(CRITICAL)
    mode.look(49, equity=10000)
    assert (mode.status, mode.step.conclusive, mode.step.recheck, mode.step.actionable) == (CRITICAL, True, True, False)
    mode.look(49, equity=10000, after=1)
    assert (mode.step.recheck, mode.step.actionable) == (False, True)


def test_jump_neither_counts_nor_resets_when_worse_checks_are_counted():
    mode = reach(ADEQUATE, confirmations=2)
    for amount in (80, 500):
        assert mode.look(amount) is None
    assert mode.look(80).event_type == "reserve_low"


def test_readings_that_never_agree_end_in_unknown():
    mode = reach(ADEQUATE)
    for amount in (1, 10, 1, 10, 1):
        mode.look(amount)
    said = mode.events[-1]
    assert said.event_type == "reserve_unknown"
    assert said.reason == "nothing certain for 150 s: balance went from 110 to 1 USDT, and no second reading agrees"


def test_complete_balance_is_compared_with_what_was_certain_when_only_a_part_was_ever_read():
    mode = Watched()
    mode.look(120, missing=[NOT_READ])
    assert mode.status is ADEQUATE
    assert mode.look(0) is None
    assert mode.step.recheck


def test_partial_balance_does_not_replace_the_believed_one():
    mode = reach(ADEQUATE)
    mode.look(104, missing=[NOT_READ])
    assert mode.state.believed_balance == 110


def test_event_is_made_when_amounts_have_more_digits_than_a_reading_may_have():
    """A target of 64 decimals is a product of what was accepted: it must be announced, not refused."""
    policy = make_policy(ratio=Decimal("0.0501"))
    snapshot = make_snapshot(policy, 0, equity="0." + "1" * 60)
    step = advance(TrackerState(0.0), snapshot, policy, Instant(NOON, 1.0), lambda: "id")
    assert step.event.target_reserve == snapshot.target_reserve


def test_incident_survives_when_the_state_is_handed_to_another_tracker():
    """All memory is in the state: the same state and snapshot give the same step."""
    mode = reach(LOW)
    snapshot = make_snapshot(mode.policy, 50)
    steps = [advance(mode.state, snapshot, mode.policy, Instant(NOON, 90.0), lambda: "id") for _ in range(2)]
    assert steps[0] == steps[1]


LOOK = st.tuples(
    st.lists(st.integers(-50, 400), max_size=2),
    st.sampled_from([0, 400, 900, 1000, 1100, 3000, -1, None]),
    st.sampled_from([(), (), (), (NOT_READ,), (DEBT_NOT_READ,)]),
    st.sampled_from([1, 30, 121, 400]),
)
LOOKS = st.lists(LOOK, max_size=25)


@given(LOOKS, st.integers(1, 9999), st.integers(-25, 25))
@settings(deadline=None, max_examples=60)
def test_history_stays_when_all_amounts_are_scaled(looks, digits, exponent):
    factor = Decimal(digits).scaleb(exponent)
    plain, scaled = Watched(), Watched()
    with localcontext(prec=100):
        for amounts, equity, missing, after in looks:
            plain.look(*amounts, equity=equity, missing=missing, after=after)
            scaled_equity = None if equity is None else factor * equity
            scaled.look(*(factor * amount for amount in amounts), equity=scaled_equity, missing=missing, after=after)
            assert scaled.status is plain.status
            assert scaled.step[2:] == plain.step[2:]
    changing = {"reserve_balance", "target_reserve", "total_equity", "shortfall", "reason"}
    assert [event.model_dump(exclude=changing) for event in scaled.events] == [
        event.model_dump(exclude=changing) for event in plain.events
    ]


@given(LOOKS, st.lists(st.integers(-500, 500), max_size=4))
@settings(deadline=None, max_examples=60)
def test_history_stays_when_balances_are_split_over_accounts(looks, shares):
    whole, split = Watched(), Watched()
    for amounts, equity, missing, after in looks:
        whole.look(*amounts, equity=equity, missing=missing, after=after)
        parts = [part for amount in amounts for part in (amount - sum(shares), *shares)]
        split.look(*parts, equity=equity, missing=missing, after=after)
    assert split.state == whole.state
    assert split.events == whole.events


@given(LOOKS)
@settings(deadline=None, max_examples=60)
def test_unknown_comes_once_and_only_after_the_maximum_staleness_when_nothing_can_be_read(looks):
    """Until then a check that cannot tell changes nothing, and afterwards nothing more."""
    mode = Watched(repeat_interval=timedelta(days=1))
    for amounts, equity, missing, after in looks:
        mode.look(*amounts, equity=equity, missing=missing, after=after)
    assume(mode.status is not UNKNOWN)
    before = mode.state
    while mode.seconds + 10 <= before.good_at + 120:
        mode.fail(after=10)
        assert mode.state == before
    assert mode.fail(after=10).event_type == "reserve_unknown"
    after = mode.state
    assert [mode.fail(after=10) for _ in range(3)] == [None, None, None]
    assert mode.state == after
