"""Which events a sink receives."""

import pytest

from reservd.delivery.scope import SinkScope
from reservd.plugin import EventType, ReserveEvent, ReserveStatus
from reservd.plugin.examples import example_event

LOW, CRITICAL, ADEQUATE, UNKNOWN = (
    ReserveStatus.LOW,
    ReserveStatus.CRITICAL,
    ReserveStatus.ADEQUATE,
    ReserveStatus.UNKNOWN,
)


def event(status: ReserveStatus, previous: ReserveStatus | None, mode: str = "btc_basis") -> ReserveEvent:
    change = {"event_type": EventType.of(status), "status": status, "previous_status": previous, "strategy_mode": mode}
    return example_event().data.model_copy(update=change)


def test_all_is_heard_by_default() -> None:
    for status in ReserveStatus:
        for previous in (LOW, CRITICAL, UNKNOWN):
            assert SinkScope().wants(event(status, previous), None)


@pytest.mark.parametrize(
    ("status", "previous", "incident", "heard"),
    [
        (LOW, ADEQUATE, None, False),
        (CRITICAL, LOW, LOW, True),
        (LOW, CRITICAL, CRITICAL, True),
        (ADEQUATE, LOW, LOW, False),
        (ADEQUATE, CRITICAL, CRITICAL, True),
        (UNKNOWN, ADEQUATE, None, False),
        (UNKNOWN, CRITICAL, CRITICAL, True),
        (ADEQUATE, UNKNOWN, CRITICAL, True),
        (ADEQUATE, UNKNOWN, None, False),
    ],
)
def test_only_what_is_critical_and_its_end_is_heard_when_that_is_the_least(
    status: ReserveStatus, previous: ReserveStatus, incident: ReserveStatus | None, *, heard: bool
) -> None:
    assert SinkScope(minimum_severity=CRITICAL).wants(event(status, previous), incident) is heard


def test_modes_are_patterns_that_know_case() -> None:
    scope = SinkScope(modes=("btc_*", "eth"))
    assert [scope.covers(mode) for mode in ("btc_basis", "eth", "ETH", "eth_basis")] == [True, True, False, False]
    assert not scope.wants(event(LOW, ADEQUATE, mode="sol"), None)


def test_kinds_of_events_are_those_that_are_named() -> None:
    scope = SinkScope(events=frozenset({EventType.CRITICAL}))
    assert scope.wants(event(CRITICAL, LOW), LOW)
    assert not scope.wants(event(LOW, ADEQUATE), None)
