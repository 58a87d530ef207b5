"""Publishes each event to a JetStream stream and waits until the stream has it."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_nats.sink import NatsSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `nats` sink."""
    return [NatsSink]
