"""Which alerts fire after which events, decided without a server."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reservd.plugin import EventType, ReserveEvent, ReserveStatus
from reservd.plugin.examples import example_event
from reservd_alertmanager.alerts import AlertName
from reservd_alertmanager.board import AlertBoard, AlertKey

T0 = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LOW, CRITICAL, UNKNOWN = AlertName


def event_of(kind: str, previous: str | None, sequence: int, **changes: Any) -> ReserveEvent:
    """Return an event of this kind, as many minutes after noon as its sequence says."""
    usual: dict[str, Any] = {
        "sequence": sequence,
        "previous_status": ReserveStatus(previous) if previous else None,
        "timestamp": T0 + sequence * MINUTE,
        "reason": f"reason {sequence}",
        "reminder": kind == previous,
    }
    return example_event(EventType(f"reserve_{kind}")).data.model_copy(update=usual | changes)


def told(*story: tuple[str, str | None], **changes: Any) -> AlertBoard:
    """Return the board after a sequence of (status, previous status)."""
    board = AlertBoard()
    for sequence, (kind, previous) in enumerate(story, start=1):
        board.take(event_of(kind, previous, sequence, **changes), T0 + sequence * MINUTE)
    return board


def names(board: AlertBoard, *, fires: bool) -> set[AlertName]:
    return {key.name for key in board.kept() if (alert := board.get(key)) is not None and alert.fires is fires}


@pytest.mark.parametrize(
    ("story", "firing", "resolved"),
    [
        ([("low", "adequate")], {LOW}, set()),
        ([("critical", None)], {CRITICAL}, set()),
        ([("low", "adequate"), ("low", "low")], {LOW}, set()),
        ([("low", "adequate"), ("critical", "low")], {CRITICAL}, {LOW}),
        ([("critical", "adequate"), ("low", "critical")], {LOW}, {CRITICAL}),
        ([("low", "adequate"), ("critical", "low"), ("low", "critical")], {LOW}, {CRITICAL}),
        ([("low", "adequate"), ("adequate", "low")], set(), {LOW}),
        ([("low", "adequate"), ("critical", "low"), ("adequate", "critical")], set(), {LOW, CRITICAL}),
        ([("low", "adequate"), ("unknown", "low")], {LOW, UNKNOWN}, set()),
        ([("critical", "adequate"), ("unknown", "critical"), ("unknown", "unknown")], {CRITICAL, UNKNOWN}, set()),
        ([("low", "adequate"), ("unknown", "low"), ("low", "unknown")], {LOW}, {UNKNOWN}),
        ([("low", "adequate"), ("unknown", "low"), ("critical", "unknown")], {CRITICAL}, {LOW, UNKNOWN}),
        ([("low", "adequate"), ("unknown", "low"), ("adequate", "unknown")], set(), {LOW, UNKNOWN}),
    ],
)
def test_alerts_follow_the_events_of_an_incident(
    story: list[tuple[str, str | None]], firing: set[AlertName], resolved: set[AlertName]
) -> None:
    board = told(*story)
    assert (names(board, fires=True), names(board, fires=False)) == (firing, resolved)


@pytest.mark.parametrize(
    ("story", "firing", "resolved"),
    [
        ([("unknown", "adequate")], {UNKNOWN}, set()),
        ([("unknown", None), ("adequate", "unknown")], set(), {UNKNOWN}),
        ([("unknown", "adequate"), ("unknown", "unknown")], {UNKNOWN}, set()),
    ],
)
def test_unknown_alone_fires_when_no_incident_is_open(
    story: list[tuple[str, str | None]], firing: set[AlertName], resolved: set[AlertName]
) -> None:
    board = told(*story, incident_id=None)
    assert (names(board, fires=True), names(board, fires=False)) == (firing, resolved)


@pytest.mark.parametrize(
    ("first", "firing", "resolved"),
    [
        (("adequate", "low"), set(), {LOW}),
        (("critical", "low"), {CRITICAL}, {LOW}),
        (("low", "low"), {LOW}, set()),
        (("unknown", "critical"), {CRITICAL, UNKNOWN}, set()),
        (("adequate", "unknown"), set(), {LOW, CRITICAL, UNKNOWN}),
        (("low", "unknown"), {LOW}, {CRITICAL, UNKNOWN}),
        (("adequate", None), set(), set()),
    ],
)
def test_first_event_resolves_what_may_have_fired_before(
    first: tuple[str, str | None], firing: set[AlertName], resolved: set[AlertName]
) -> None:
    """After a start, only the last event of a mode is known."""
    board = told(first)
    assert (names(board, fires=True), names(board, fires=False)) == (firing, resolved)


def test_incident_fires_as_low_when_all_that_is_known_is_that_it_is_unknown() -> None:
    """Whether it was critical is known later, and what fires until then is resolved with the rest."""
    board = told(("unknown", "unknown"))
    assert names(board, fires=True) == {LOW, UNKNOWN}
    board.take(event_of("unknown", "unknown", 2), T0)
    assert (names(board, fires=True), names(board, fires=False)) == ({LOW, UNKNOWN}, set())
    board.take(event_of("adequate", "unknown", 3), T0)
    assert names(board, fires=False) == {LOW, CRITICAL, UNKNOWN}


def test_incident_fires_when_the_events_before_were_lost() -> None:
    """The event itself says that the status before unknown was low."""
    board = AlertBoard()
    board.take(event_of("adequate", "low", 1), T0)
    board.take(event_of("unknown", "low", 5), T0)
    assert names(board, fires=True) == {LOW, UNKNOWN}


def test_alert_keeps_its_start_and_tells_the_latest_when_it_is_said_again() -> None:
    alert = told(("low", "adequate"), ("low", "low"), ("unknown", "low")).get(AlertKey("demo", LOW))
    assert alert is not None
    assert alert.starts_at == T0 + MINUTE
    assert alert.annotations["description"] == "reason 2", "an unknown status says nothing about a low one"


def test_alert_starts_anew_when_it_was_resolved_in_between() -> None:
    board = told(("low", "adequate"), ("critical", "low"), ("low", "critical"))
    alert = board.get(AlertKey("demo", LOW))
    assert alert is not None
    assert (alert.starts_at, alert.ended_at) == (T0 + 3 * MINUTE, None)


def test_resolved_alert_tells_what_ended_it() -> None:
    alert = told(("low", "adequate"), ("adequate", "low")).get(AlertKey("demo", LOW))
    assert alert is not None
    assert alert.ended_at == T0 + 2 * MINUTE
    assert (alert.annotations["summary"], alert.annotations["description"]) == ("Reserve of demo is low", "reason 2")


def test_alert_never_ends_before_it_starts_when_the_clock_is_set_back() -> None:
    board = told(("low", "adequate"))
    board.take(event_of("adequate", "low", 2), T0 - 60 * MINUTE)
    alert = board.get(AlertKey("demo", LOW))
    assert alert is not None
    assert alert.ended_at == alert.starts_at


@pytest.mark.parametrize("old", [1, 2])
def test_old_event_changes_nothing_when_it_comes_again(old: int) -> None:
    board = told(("low", "adequate"), ("critical", "low"), ("adequate", "critical"))
    before = [(key, board.get(key)) for key in board.kept()]
    assert board.take(event_of("critical", "low", old), T0) == []
    assert [(key, board.get(key)) for key in board.kept()] == before


def test_last_event_stands_for_its_alerts_when_it_comes_again() -> None:
    board = told(("low", "adequate"), ("critical", "low"))
    again = board.take(event_of("critical", "low", 2), T0 + 60 * MINUTE)
    assert set(again) == {AlertKey("demo", CRITICAL), AlertKey("demo", LOW)}
    alert = board.get(AlertKey("demo", LOW))
    assert alert is not None
    assert alert.ended_at == T0 + 2 * MINUTE


def test_modes_do_not_mix() -> None:
    board = told(("low", "adequate"))
    board.take(event_of("critical", "adequate", 7, strategy_mode="other"), T0)
    board.take(event_of("adequate", "low", 2), T0)
    assert board.kept() == [AlertKey("demo", LOW), AlertKey("other", CRITICAL)]
    assert names(board, fires=True) == {CRITICAL}


@pytest.mark.parametrize("kind", ["low", "critical"])
def test_incident_ends_with_all_its_alerts_when_its_start_is_not_known(kind: str) -> None:
    """A reminder at a start resolves nothing; the recovery resolves what may have fired before it."""
    board = told((kind, kind))
    assert (names(board, fires=True), names(board, fires=False)) == ({AlertName(f"Reserve{kind.title()}")}, set())
    board.take(event_of("adequate", kind, 2), T0)
    assert names(board, fires=False) == {LOW, CRITICAL}


def forgetting(board: AlertBoard, now: datetime, *unsent: AlertKey) -> set[AlertName]:
    board.forget(now, 15 * MINUTE, expires=240 * MINUTE, unsent=unsent)
    return {key.name for key in board.kept()}


def test_resolved_alert_is_kept_while_another_of_its_mode_fires() -> None:
    """Receivers may need to be notified of it again: see `forget`."""
    board = told(("low", "adequate"), ("critical", "low"))
    assert forgetting(board, T0 + 10_000 * MINUTE) == {LOW, CRITICAL}


def test_resolved_alerts_are_forgotten_in_time_and_one_that_nobody_took_later() -> None:
    board = told(("low", "adequate"), ("critical", "low"), ("adequate", "critical"))
    ended = T0 + 3 * MINUTE
    assert forgetting(board, ended + 15 * MINUTE) == {LOW, CRITICAL}
    assert forgetting(board, ended + 240 * MINUTE, AlertKey("demo", LOW)) == {LOW}
    assert forgetting(board, ended + 241 * MINUTE, AlertKey("demo", LOW)) == set()
    assert board.get(AlertKey("demo", LOW)) is None


def test_missing_number_is_left_out() -> None:
    alert = told(("unknown", "adequate"), incident_id=None).get(AlertKey("demo", UNKNOWN))
    assert alert is not None
    assert dict(alert.annotations) == {"summary": "Reserve of demo is unknown", "description": "reason 1"}


def test_long_reason_is_cut() -> None:
    alert = told(("low", "adequate"), reason="x" * 100_000).get(AlertKey("demo", LOW))
    assert alert is not None
    assert len(alert.annotations["description"]) == 1000
