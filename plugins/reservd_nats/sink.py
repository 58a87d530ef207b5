"""Publishes events to JetStream."""

from typing import Self

from reservd.plugin import CloudEvent, EventSink, ReplenishmentMessage
from reservd_nats.config import NatsConfig
from reservd_nats.keeper import ConnectionKeeper
from reservd_nats.subject import subject_of

CONTENT_TYPE = "application/cloudevents+json"


class NatsSink(EventSink[NatsConfig]):
    """Publishes each event; it is delivered when a stream has acknowledged it."""

    PLUGIN_NAME = "nats"
    Config = NatsConfig

    def __init__(self, name: str, config: NatsConfig) -> None:
        super().__init__(name, config)
        self._keeper = ConnectionKeeper(config, config.stream)

    async def __aenter__(self) -> Self:
        """Connect with the first event, not now."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection; do not wait for one that does not close in time."""
        await self._keeper.close()

    async def deliver(self, event: CloudEvent) -> None:
        """Publish the event under its id, by which the stream drops duplicates.

        Raises:
            DeliveryError: If no stream acknowledged it. Retryable unless the event is too large:
                servers come back, streams are created and permissions corrected.
        """
        await self._publish(event, str(event.data.event_type))

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """Publish a change of a request for a refill in the same way; raises as `deliver` does."""
        await self._publish(event, event.data.event_type)

    async def _publish(self, event: CloudEvent | ReplenishmentMessage, event_type: str) -> None:
        subject = subject_of(self.config.subject, event.subject, event_type)
        headers = {"Nats-Msg-Id": event.id, "Content-Type": CONTENT_TYPE}
        await self._keeper.publish(subject, event.to_json(), headers)
