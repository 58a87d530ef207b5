"""Signed HTTP POSTs: events to a receiver, requests for refills to a strategy."""

from typing import Any

from reservd.plugin import EventSink, Replenisher, hookimpl
from reservd_webhook.replenisher import WebhookReplenisher
from reservd_webhook.sink import WebhookSink


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `webhook` sink."""
    return [WebhookSink]


@hookimpl
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:
    """Register the `webhook` replenisher."""
    return [WebhookReplenisher]
