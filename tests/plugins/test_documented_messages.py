"""The messages in the READMEs have the fields that are sent, since consumers are written from them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import reservd
from reservd.plugin import Acceptance, CloudEvent, EventSink, ReplenishmentRequest, ReserveEvent
from reservd.plugin.examples import example_event, example_request
from reservd.plugin.host import PluginHost

PLUGINS = Path(reservd.__file__).parents[2] / "plugins"


def messages_of(plugin: str, block: str) -> list[Any]:
    text = (PLUGINS / f"reservd_{plugin}" / "README.md").read_text()
    blocks = re.findall(rf"```{block}\n(.*?)```", text, flags=re.DOTALL)
    return [json.loads(found[found.index("{") :]) for found in blocks]


@pytest.mark.parametrize(
    ("plugin", "block"),
    [
        ("jsonl", "json"),
        ("webhook", "http"),
        ("nats", "json"),
        ("redis", "json"),
        ("kafka", "json"),
        ("command", "json"),
    ],
)
def test_documented_event_is_the_one_that_is_sent(plugin: str, block: str) -> None:
    shown = messages_of(plugin, block)[0]
    sent = json.loads(example_event().to_json())
    assert list(shown) == list(sent)
    assert list(shown["data"]) == list(sent["data"])
    CloudEvent.model_validate(shown)


def test_documented_request_is_the_one_that_is_sent() -> None:
    shown = messages_of("webhook", "http")[1]
    assert list(shown) == list(json.loads(example_request().model_dump_json()))
    ReplenishmentRequest.model_validate(shown)


@pytest.mark.parametrize("plugin", ["webhook", "paper"])
def test_documented_answer_is_understood(plugin: str) -> None:
    (shown,) = messages_of(plugin, "json")
    assert set(shown) == set(Acceptance.model_fields)
    Acceptance.model_validate(shown)


def test_documented_log_line_has_all_of_the_event() -> None:
    (shown,) = messages_of("log", "json")
    renamed = {"event_type", "strategy_mode", "timestamp", "id"}
    added = {"event", "level", "timestamp", "sink", "mode", "event_id", "decided_at"}
    assert set(shown) == (set(ReserveEvent.model_fields) - renamed) | added


def test_sinks_that_report_requests_for_refills_say_so() -> None:
    """A receiver written from the README alone must know that such a message has other data."""
    for name in ("webhook", "jsonl", "log", "nats", "kafka", "redis"):
        sink: Any = PluginHost().plugin_class("event_sinks", name)
        reports = sink.deliver_replenishment is not EventSink.deliver_replenishment
        text = (PLUGINS / f"reservd_{name}" / "README.md").read_text()
        assert ("replenishment_changed" in text) == reports
