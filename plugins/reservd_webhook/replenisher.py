"""Requests for refills as signed POSTs."""

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
    """POSTs each request; the strategy answers with what it will do."""

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
        """POST the request and return the answer; 2xx without a body is `pending`.

        Raises:
            DeliveryError: If no answer came that says yes or no. A 2xx that cannot be read is
                retryable: the receiver may have acted, and knows the request again by its id.
        """
        try:
            answer = await self._sender.post(request.id, request.model_dump_json().encode(), "application/json")
            return read_acceptance(answer.body)
        except HttpError as error:
            retryable = error.retryable or error.reason is FailureReason.INVALID_DATA
            raise DeliveryError(
                error.reason, error.detail, retryable=retryable, retry_after_seconds=error.retry_after_seconds
            ) from None
