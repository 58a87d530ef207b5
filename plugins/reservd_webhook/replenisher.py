"""Sends requests for refills as signed POSTs."""

from typing import Self

from reservd.plugin import (
    Acceptance,
    DeliveryError,
    FailureReason,
    Replenisher,
    ReplenishmentRequest,
    read_acceptance,
)
from reservd.plugin.http import HttpError
from reservd_webhook.config import WebhookConfig
from reservd_webhook.sender import SignedSender


class WebhookReplenisher(Replenisher[WebhookConfig]):
    """POSTs each request; the strategy answers with its decision."""

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

    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """POST the request and return the answer; 2xx without a body means `pending`.

        Raises:
            DeliveryError: If no valid answer came. A 2xx that cannot be parsed is
                retryable: the receiver may have acted, and recognises the request by its id.
        """
        try:
            answer = await self._sender.post(request.id, request.model_dump_json().encode(), "application/json")
            return read_acceptance(answer.body)
        except HttpError as error:
            retryable = error.retryable or error.reason is FailureReason.INVALID_DATA
            raise DeliveryError(
                error.reason, error.detail, retryable=retryable, retry_after_seconds=error.retry_after_seconds
            ) from None
