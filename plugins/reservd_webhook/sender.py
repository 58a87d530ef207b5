"""POSTs signed by the Standard Webhooks scheme (https://www.standardwebhooks.com)."""

from datetime import UTC, datetime
from typing import Self

from standardwebhooks import Webhook

from reservd.plugin.http import AddressRefusedError, HttpClient, HttpError, Response
from reservd_webhook.config import WebhookConfig
from reservd_webhook.targets import host_of, is_public

_MAX_ANSWER_BYTES = 64 * 1024


class SignedSender:
    """Sends signed messages to one receiver. Used as an async context manager."""

    def __init__(self, config: WebhookConfig) -> None:
        self._url = config.url.get_secret_value()
        self._signers = [Webhook(key.get_secret_value()) for key in (config.secret, *config.previous_secrets)]
        self._host = host_of(self._url)
        self._client = HttpClient(
            timeout_seconds=config.timeout,
            max_response_bytes=_MAX_ANSWER_BYTES,
            headers={name: value.get_secret_value() for name, value in config.headers.items()},
            may_connect=None if self._host in config.allow_private_hosts else is_public,
        )

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._client.__aexit__(None, None, None)

    async def post(self, message_id: str, body: bytes, content_type: str) -> Response:
        """POST one message and return the 2xx answer.

        Args:
            message_id: The same on each attempt, by which the receiver recognises a repetition.
            body: UTF-8 text; signed and sent unchanged.
            content_type: Of the body.

        Raises:
            HttpError: If there was no complete 2xx answer, or the host has no permitted address.
        """
        now = datetime.now(UTC)
        headers = {
            "Content-Type": content_type,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body.decode()) for signer in self._signers),
        }
        try:
            return await self._client.post(self._url, body, headers=headers)
        except AddressRefusedError as error:
            detail = f"{self._host} has no public address; allow_private_hosts must list it if that is meant"
            raise HttpError(error.reason, detail, retryable=False) from None
