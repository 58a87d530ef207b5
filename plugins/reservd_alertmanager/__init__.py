"""Alerts in Alertmanager, one at a time for each mode."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_alertmanager.sink import AlertmanagerSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `alertmanager` sink."""
    return [AlertmanagerSink]
