import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from reservd.log import configure_logging
from reservd.plugin import EventType
from reservd.plugin.examples import example_event
from reservd.plugin.testing import EventSinkContract
from reservd_log.sink import LogSink


class TestLogSink(EventSinkContract):
    plugin_class = LogSink

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def json_log() -> Callable[[], list[dict[str, Any]]]:
    """The daemon's own logging, as JSON, into memory instead of standard error."""
    configure_logging("info", "json")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    handler.setStream(lines)
    return lambda: [json.loads(line) for line in lines.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("event_type", "level"),
    [
        (EventType.ADEQUATE, "info"),
        (EventType.LOW, "warning"),
        (EventType.CRITICAL, "error"),
        (EventType.UNKNOWN, "warning"),
    ],
)
async def test_level_follows_severity(build: Any, json_log: Any, event_type: EventType, level: str) -> None:
    await build(LogSink, {}).deliver(example_event(event_type))
    (line,) = json_log()
    assert (line["event"], line["level"]) == (f"event.{event_type}", level)


async def test_line_holds_amounts_as_text(build: Any, json_log: Any) -> None:
    event = example_event(EventType.LOW)
    await build(LogSink, {}, name="audit").deliver(event)
    (line,) = json_log()
    del line["timestamp"]
    assert line == {
        "event": "event.reserve_low",
        "level": "warning",
        "sink": "audit",
        "mode": "demo",
        "event_id": "evt-1",
        "decided_at": event.time.isoformat(),
        "reserve_balance": "40000.25",
        "target_reserve": "50000",
        "utilization": "0.800005",
        "sequence": 1,
        "incident_id": "inc-1",
        "status": "low",
        "previous_status": None,
        "currency": "USDT",
        "total_equity": "1000000",
        "shortfall": "9999.75",
        "observed_at": event.data.model_dump(mode="json")["observed_at"],
        "reason": "an example",
        "reminder": False,
        "superseded": False,
    }


async def test_line_comes_from_the_events_logger(build: Any, json_log: Any) -> None:
    """Operators route or mute events by the logger's name."""
    logging.getLogger("reservd.events").setLevel(logging.CRITICAL)
    try:
        await build(LogSink, {}).deliver(example_event())
    finally:
        logging.getLogger("reservd.events").setLevel(logging.NOTSET)
    assert json_log() == []
