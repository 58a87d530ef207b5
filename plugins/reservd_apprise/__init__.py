"""Events to chat, mail and paging services, through the apprise library."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_apprise.sink import AppriseSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `apprise` sink."""
    return [AppriseSink]
