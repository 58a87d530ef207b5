"""Adds each event to a Redis or Valkey stream, once."""

from typing import Any

from reservd.plugin import EventSink, hookimpl
from reservd_redis.sink import RedisSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `redis` sink."""
    return [RedisSink]
