from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.models import ReserveStatus
from reservd.reserve.tracker import Instant, TrackerState, advance
from support.reserve import AMOUNT, NOON, Watched, lose, make_policy, make_snapshot, reach

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


@pytest.mark.parametrize(("status", "event"), [(LOW, "reserve_low"), (CRITICAL, "reserve_critical")])
def test_first_snapshot_opens_an_incident_when_it_is_not_adequate(status: ReserveStatus, event: str) -> None:
    mode = Watched()
    said = mode.look(AMOUNT[status])
    assert (said.event_type, said.status, said.previous_status, said.sequence) == (event, status, None, 1)
    assert said.incident_id == mode.state.incident_id is not None
    assert mode.state.incident_severity is status
    assert not said.reminder


def test_first_snapshot_says_nothing_when_it_is_adequate() -> None:
    mode = Watched()
    assert mode.look(110) is None
    assert (mode.status, mode.state.sequence, mode.state.incident_severity) == (ADEQUATE, 0, None)


@pytest.mark.parametrize(
    ("before", "after", "event"),
    [(ADEQUATE, LOW, "reserve_low"), (ADEQUATE, CRITICAL, "reserve_critical")],
)
def test_worsening_opens_an_incident_when_none_was_open(
    before: ReserveStatus, after: ReserveStatus, event: str
) -> None:
    mode = reach(before)
    mode.look(80 if after is LOW else 74, equity=1000 if after is LOW else 1490)
    said = mode.events[-1]
    assert (said.event_type, said.status, said.previous_status) == (event, after, before)
    assert said.incident_id == mode.state.incident_id is not None


@pytest.mark.parametrize(
    ("before", "after", "event"), [(LOW, CRITICAL, "reserve_critical"), (CRITICAL, LOW, "reserve_low")]
)
def test_change_of_severity_keeps_the_incident_when_one_is_open(
    before: ReserveStatus, after: ReserveStatus, event: str
) -> None:
    mode = reach(before)
    incident = mode.state.incident_id
    said = mode.look(AMOUNT[after] - 1)
    assert (said.event_type, said.previous_status, said.incident_id) == (event, before, incident)
    assert mode.state.incident_severity is after


@pytest.mark.parametrize("before", [LOW, CRITICAL])
def test_recovery_closes_the_incident_and_names_it(before: ReserveStatus) -> None:
    mode = reach(before)
    incident = mode.state.incident_id
    mode.look(74)
    said = mode.look(110)
    assert (said.event_type, said.status, said.incident_id) == ("reserve_adequate", ADEQUATE, incident)
    assert (mode.state.incident_id, mode.state.incident_severity) == (None, None)
    assert mode.look(74).incident_id != incident


@pytest.mark.parametrize("before", [ADEQUATE, LOW, CRITICAL])
def test_unknown_keeps_the_incident_and_the_numbers_when_nothing_can_be_read(before: ReserveStatus) -> None:
    mode = reach(before)
    good, incident = mode.state.good, mode.state.incident_id
    lose(mode)
    said = mode.events[-1]
    assert (said.event_type, said.status, said.previous_status) == ("reserve_unknown", UNKNOWN, before)
    assert (said.incident_id, mode.state.incident_id) == (incident, incident)
    assert (said.reserve_balance, said.observed_at) == (good.reserve_balance, good.observed_at)
    assert mode.state.incident_severity is (before if incident else None)


def test_unknown_carries_no_numbers_when_there_never_were_any() -> None:
    mode = Watched()
    lose(mode)
    said = mode.events[0]
    assert (said.sequence, said.previous_status, said.reserve_balance, said.incident_id) == (1, None, None, None)
    assert said.reason == "no conclusive check for 150 s: bank/spot: timeout; nav: timeout"


@pytest.mark.parametrize("before", [ADEQUATE, LOW, CRITICAL])
@pytest.mark.parametrize("after", [ADEQUATE, LOW, CRITICAL])
def test_return_from_unknown_goes_on_from_the_status_before_it(before: ReserveStatus, after: ReserveStatus) -> None:
    mode = reach(before)
    incident = mode.state.incident_id
    lose(mode)
    for _ in range(2):  # a move as large as a jump needs a second reading
        mode.look(AMOUNT[after])
    said = [event for event in mode.events if event.status is not UNKNOWN][-1]
    assert mode.status is after
    assert (said.event_type, said.previous_status) == (f"reserve_{after}", UNKNOWN)
    if incident is not None:
        assert said.incident_id == incident
    else:
        assert (said.incident_id is None) == (after is ADEQUATE)
    assert mode.state.incident_id == (None if after is ADEQUATE else said.incident_id)


def test_return_from_unknown_is_said_when_the_first_reading_ever_is_adequate() -> None:
    """Whoever received the unknown event must receive its end."""
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
def test_worsening_counts_only_after_enough_checks_in_a_row_at_least_as_severe(
    looks: list[int | None], statuses: list[ReserveStatus]
) -> None:
    """With three confirmations. Inconclusive checks neither count nor reset the count."""
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


def test_recovery_counts_at_once_when_worsening_needs_three() -> None:
    mode = Watched(confirmations=3)
    for _ in range(3):
        mode.look(74)
    assert mode.look(103).event_type == "reserve_adequate"


def test_nothing_is_confirmed_when_the_first_low_is_not_confirmed_yet() -> None:
    mode = Watched(confirmations=2)
    assert mode.look(80) is None
    assert (mode.status, mode.step.conclusive) == (None, True)
    assert mode.look(80).event_type == "reserve_low"


def test_unknown_stays_when_a_worse_status_is_not_confirmed_yet() -> None:
    mode = reach(ADEQUATE, confirmations=2, repeat_interval=timedelta(seconds=60))
    lose(mode)
    said = mode.look(80, after=60)
    assert (said.event_type, said.reminder) == ("reserve_unknown", True)
    assert said.reason == "readings show a worse status than before, but not yet in enough checks in a row"
    assert mode.look(80).event_type == "reserve_low"


def test_known_low_returns_from_unknown_at_once_when_critical_is_not_confirmed_yet() -> None:
    mode = Watched(confirmations=2)
    for amount in (110, 74, 74):
        mode.look(amount)
    lose(mode)
    assert mode.look(49).event_type == "reserve_low"
    assert mode.look(49).event_type == "reserve_critical"


def test_what_was_confirmed_stays_so_when_more_confirmations_are_asked_from_now_on() -> None:
    """A reload affects new worsening only: neither a recovery nor the known severity is delayed."""
    mode = reach(CRITICAL)
    mode.policy = make_policy(confirmations=9)
    assert mode.look(73).event_type == "reserve_low"
    lose(mode)
    assert mode.look(49).event_type == "reserve_low"


@pytest.mark.parametrize("status", [LOW, CRITICAL, UNKNOWN])
def test_reminders_come_at_the_interval_while_the_status_lasts(status: ReserveStatus) -> None:
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


def test_no_reminder_comes_while_all_is_well() -> None:
    mode = reach(ADEQUATE)
    assert [mode.look(110, after=1000) for _ in range(3)] == [None, None, None]


def test_reminder_says_how_old_its_numbers_are_when_the_last_check_could_not_tell() -> None:
    mode = reach(LOW, max_staleness=timedelta(seconds=1000))
    said = mode.fail(after=300)
    assert (said.event_type, said.reminder, said.reserve_balance) == ("reserve_low", True, 74)
    assert said.reason.endswith("; as of 2026-01-05T12:01:00Z, no newer check was conclusive")


def test_reminder_has_no_numbers_when_the_snapshot_was_not_remembered() -> None:
    mode = reach(LOW)
    mode.state = mode.state._replace(good=None)
    said = mode.fail(after=120)
    mode.state = mode.state._replace(announced_at=-300.0)
    said = mode.fail(after=0)
    assert (said.reminder, said.reserve_balance, said.reason) == (True, None, "the reserve is low")


def test_change_and_recovery_explain_themselves() -> None:
    mode = reach(ADEQUATE)
    mode.look(80)
    mode.look(105)
    assert [event.reason for event in mode.events] == [
        "80 of 100 USDT is 0.8 of the target, below 1.0 (low); 20 USDT short",
        "105 of 100 USDT is 1.05 of the target",
    ]


def test_staleness_counts_from_the_start_when_nothing_was_ever_read() -> None:
    mode = Watched()
    assert [mode.fail(after=60), mode.fail(after=60)] == [None, None]
    assert mode.fail(after=0.001).event_type == "reserve_unknown"


def test_staleness_counts_from_the_last_conclusive_check() -> None:
    mode = reach(ADEQUATE)
    for _ in range(20):
        assert mode.fail(after=100) is None
        assert mode.look(110, after=10) is None


def test_event_is_made_when_amounts_have_more_digits_than_a_reading_may_have() -> None:
    """A target of 64 decimals is a product of accepted values: its event must not fail."""
    policy = make_policy(ratio=Decimal("0.0501"))
    snapshot = make_snapshot(policy, 0, equity="0." + "1" * 60)
    step = advance(TrackerState(0.0), snapshot, policy, Instant(NOON, 1.0), lambda: "id")
    assert step.event.target_reserve == snapshot.target_reserve


def test_incident_survives_when_the_state_is_handed_to_another_tracker() -> None:
    """All memory is in the state: the same state and snapshot give the same step."""
    mode = reach(LOW)
    snapshot = make_snapshot(mode.policy, 50)
    steps = [advance(mode.state, snapshot, mode.policy, Instant(NOON, 90.0), lambda: "id") for _ in range(2)]
    assert steps[0] == steps[1]
