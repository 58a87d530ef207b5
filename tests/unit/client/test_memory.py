"""The memory of a strategy: it acts once per incident and severity, also over restarts."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from reservd.client import StrategyMemory
from reservd.errors import ConfigError
from reservd.reserve.models import EventType, ReserveEvent


def event(kind: EventType, incident: str = "one", mode: str = "alpha") -> ReserveEvent:
    return ReserveEvent(
        event_type=kind,
        strategy_mode=mode,
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        reserve_balance=None,
        target_reserve=None,
        utilization=None,
        incident_id=incident,
    )


def test_incident_is_acted_on_once_a_severity_over_restarts(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    taken = []
    for kind, incident, mode in (
        (EventType.LOW, "one", "alpha"),
        (EventType.LOW, "one", "alpha"),
        (EventType.CRITICAL, "one", "alpha"),
        (EventType.LOW, "one", "beta"),
        (EventType.LOW, "one", "alpha"),
        (EventType.LOW, "two", "alpha"),
        (EventType.LOW, "two", "alpha"),
    ):
        taken.append(StrategyMemory(file).take(event(kind, incident, mode)))
    assert taken == [True, False, True, True, False, True, False]
    assert list(tmp_path.iterdir()) == [file]


def test_what_was_asked_for_before_is_known_and_nothing_more_is_when_the_worst_is_over(tmp_path: Path) -> None:
    """An emergency requests the whole amount: while it arrives the reserve may become low, which needs no further
    request.
    """
    file = tmp_path / "memory.json"
    low = event(EventType.LOW).model_copy(update={"shortfall": Decimal("26.50")})
    critical = event(EventType.CRITICAL).model_copy(update={"shortfall": Decimal(51)})
    memory = StrategyMemory(file)
    assert memory.asked_before(low) is None
    assert memory.take(low)
    assert StrategyMemory(file).asked_before(critical) == Decimal("26.50")
    assert StrategyMemory(file).asked_before(event(EventType.CRITICAL, "two")) is None
    two = StrategyMemory()
    assert two.take(critical)
    assert not two.take(low)
    assert two.take(event(EventType.LOW, "two"))


def test_place_in_the_events_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    memory = StrategyMemory(file)
    assert (memory.lasting, memory.last_event_id) == (True, None)
    memory.take(event(EventType.LOW))
    memory.come_to("e-1")
    assert StrategyMemory(file).last_event_id == "e-1"
    assert not StrategyMemory(file).take(event(EventType.LOW))
    assert not StrategyMemory().lasting


def test_nobody_acts_when_it_cannot_be_kept(tmp_path: Path) -> None:
    """If the memory cannot be written the strategy does not act, since it might act twice later."""
    folder = tmp_path / "gone"
    folder.mkdir()
    memory = StrategyMemory(folder / "memory.json")
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        memory.take(event(EventType.LOW))
    folder.mkdir()
    assert memory.take(event(EventType.LOW))


@pytest.mark.parametrize("content", ["", "{}{", '{"acted": 3}', '{"other": 1}'])
def test_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    """The file is not overwritten."""
    file = tmp_path / "memory.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match="not a strategy's memory file"):
        StrategyMemory(file)
    assert file.read_text() == content
