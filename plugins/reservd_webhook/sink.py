"""Sends events as signed CloudEvents."""

from typing import Self

from reservd.plugin import CloudEvent, DeliveryError, EventSink, ReplenishmentMessage
from reservd.plugin.http import HttpError
from reservd_webhook.config import WebhookConfig
from reservd_webhook.sender import SignedSender

CONTENT_TYPE = "application/cloudevents+json"


class WebhookSink(EventSink[WebhookConfig]):
    """POSTs each event; any 2xx means that it was accepted, whatever else the answer contains."""

    PLUGIN_NAME = "webhook"
    Config = WebhookConfig

    def __init__(self, name: str, config: WebhookConfig) -> None:
        super().__init__(name, config)
        self._sender = SignedSender(config)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._sender.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._sender.__aexit__()

    async def deliver(self, event: CloudEvent) -> None:
        """POST the event in structured mode.

        Raises:
            DeliveryError: If no complete 2xx came. Retryable unless the receiver refused the
                event itself (400, 405, 410, 413, 414, 415, 422), redirects, or has no permitted address.
        """
        await self._post(event.id, event.to_json())

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """POST a change of a request for a refill in the same way; raises as `deliver` does."""
        await self._post(event.id, event.to_json())

    async def _post(self, message_id: str, body: bytes) -> None:
        try:
            await self._sender.post(message_id, body, CONTENT_TYPE)
        except HttpError as error:
            if error.taken:
                return
            raise DeliveryError(
                error.reason,
                error.detail,
                retryable=error.retryable,
                retry_after_seconds=error.retry_after_seconds,
            ) from None
