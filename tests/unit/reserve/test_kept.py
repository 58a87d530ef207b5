"""What a restart remembers, and how downtime counts."""

from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.kept import KeptState, keep, reconcile
from reservd.reserve.models import ReserveStatus
from reservd.reserve.tracker import Instant
from support.reserve import NOON, Watched, lose, reach

LOW, ADEQUATE, CRITICAL, UNKNOWN = (
    ReserveStatus.LOW,
    ReserveStatus.ADEQUATE,
    ReserveStatus.CRITICAL,
    ReserveStatus.UNKNOWN,
)


def kept(mode: Watched) -> KeptState:
    return keep(mode.state, Instant(NOON, mode.seconds))


def test_incident_goes_on_when_the_daemon_is_restarted_in_low() -> None:
    mode = reach(LOW)
    opening = mode.events[-1]
    mode.restart(down=5)
    assert mode.look(74) is None
    assert mode.state.incident_at == opening.timestamp
    recovery = mode.look(110)
    assert recovery is not None
    assert (recovery.incident_id, recovery.sequence, recovery.previous_status) == (opening.incident_id, 2, LOW)
    assert mode.state.incident_at is None


def test_reminder_is_given_once_when_several_became_due_while_down() -> None:
    mode = reach(LOW)
    mode.restart(down=3600)
    reminder = mode.look(74)
    assert reminder is not None
    assert reminder.reminder
    assert mode.look(74) is None


@pytest.mark.parametrize("down", [0, 3600, -3600])
def test_source_has_half_of_the_staleness_to_answer_when_the_daemon_was_down(down: int) -> None:
    """After an hour of downtime, one failed reading raises nothing, two minutes of failures do."""
    mode = reach(ADEQUATE, max_staleness=timedelta(seconds=120))
    mode.restart(down=down)
    assert mode.fail(after=30) is None
    assert mode.fail(after=29) is None
    lose(mode)
    assert mode.said == ["unknown"]


def test_reason_of_unknown_counts_no_time_of_a_daemon_before() -> None:
    """It is not known how long nothing was certain while nobody watched."""
    mode = reach(ADEQUATE, max_staleness=timedelta(seconds=120))
    mode.restart(down=3600)
    lose(mode)
    assert mode.events[-1].reason.startswith("no conclusive check since this daemon began to watch: bank/spot: timeout")
    mode.look(110)
    lose(mode)
    assert mode.events[-1].reason.startswith("no conclusive check for 1")


def test_checks_in_a_row_begin_anew_when_the_daemon_is_restarted() -> None:
    mode = reach(ADEQUATE, confirmations=2)
    assert mode.look(74) is None
    mode.restart()
    assert mode.look(74) is None
    assert mode.look(74) is not None


def test_jump_is_doubted_when_it_happened_while_down() -> None:
    mode = reach(ADEQUATE)
    mode.restart(down=60)
    assert mode.look(0) is None
    assert mode.step is not None
    assert mode.step.recheck
    assert mode.look(0) is not None


def test_amounts_of_another_currency_are_forgotten_and_the_incident_is_not() -> None:
    mode = reach(LOW)
    mode.policy = Watched(share_class="ETH").policy
    mode.restart()
    assert mode.state.good is None
    assert mode.state.believed_balance is None
    assert (mode.status, mode.state.incident_severity) == (LOW, LOW)


def states(stored: ReserveStatus, newer: ReserveStatus | None) -> tuple[KeptState, KeptState]:
    blind = Watched()
    if newer is not None:
        blind = reach(newer)
    memory = kept(blind)._replace(sequence=1000)
    if memory.incident_id is not None:
        memory = memory._replace(incident_id="blind", incident_at=NOON + timedelta(days=1))
    return kept(reach(stored)), memory


def test_incident_of_the_store_goes_on_when_the_mode_was_low_without_it_too() -> None:
    stored, newer = states(LOW, CRITICAL)
    state = reconcile(stored, newer)
    assert (state.incident_id, state.confirmed, state.sequence) == (stored.incident_id, CRITICAL, 1000)
    assert state.incident_at == stored.incident_at


def test_incident_of_the_store_is_left_to_be_closed_when_the_mode_recovered_without_it() -> None:
    stored, newer = states(LOW, ADEQUATE)
    assert reconcile(stored, newer) == stored._replace(sequence=1000)


def test_incident_of_memory_goes_on_when_the_store_knows_of_none() -> None:
    stored, newer = states(ADEQUATE, LOW)
    assert reconcile(stored, newer) == newer
    assert newer.incident_id == "blind"


def test_store_is_right_when_nothing_was_confirmed_without_it() -> None:
    stored, newer = states(LOW, None)
    assert reconcile(stored, newer) == stored._replace(sequence=1000)


def test_amounts_are_kept_to_the_last_digit() -> None:
    mode = Watched()
    mode.look("110.000000000000000001")
    mode.restart()
    assert mode.state.believed_balance == Decimal("110.000000000000000001")
