"""Produces each event to a Kafka topic and waits until all replicas have it."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_kafka.sink import KafkaSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `kafka` sink."""
    return [KafkaSink]
