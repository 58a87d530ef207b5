"""Writes each event as one line of the daemon's own log."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_log.sink import LogSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `log` sink."""
    return [LogSink]
