"""Publishes each event to a JetStream stream and waits until the stream has it."""

from typing import Any

from reservd.plugin import EventSink, Replenisher, hookimpl
from reservd_nats.replenisher import NatsReplenisher
from reservd_nats.sink import NatsSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `nats` sink."""
    return [NatsSink]


@hookimpl
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:
    """Register the `nats` replenisher."""
    return [NatsReplenisher]
