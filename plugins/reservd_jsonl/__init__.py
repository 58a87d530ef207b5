"""Appends each event to a file, one line of CloudEvents JSON each, and rotates it."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_jsonl.sink import JsonLinesSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `jsonl` sink."""
    return [JsonLinesSink]
