"""POSTs signed by the Standard Webhooks scheme (https://www.standardwebhooks.com)."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError
from standardwebhooks import Webhook

from reservd.plugin import Secret, SourceConfig, Url
from reservd.plugin.http import HttpClient, Response

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
"""What the scheme asks for."""
_MAX_ANSWER_BYTES = 64 * 1024


def _signing_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) not in _KEY_BYTES:
        raise PydanticCustomError(
            "signing_key", "must be whsec_ and 24 to 64 bytes in base64, such as $(openssl rand -base64 32) makes"
        )
    return secret


class WebhookConfig(SourceConfig):
    """Options that the sink and the replenisher share."""

    url: Url
    """Where to POST. A redirect is a failure: it is never followed."""
    secret: Annotated[Secret, AfterValidator(_signing_key)]
    """The key that signs: `whsec_` and 24 to 64 bytes in base64. The receiver has the same."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, such as one that a gateway asks for."""


class SignedSender:
    """Sends signed messages to one receiver. Used as an async context manager."""

    def __init__(self, config: WebhookConfig) -> None:
        self._url = config.url.get_secret_value()
        self._signer = Webhook(config.secret.get_secret_value())
        self._client = HttpClient(
            timeout_seconds=config.timeout,
            max_response_bytes=_MAX_ANSWER_BYTES,
            headers={name: value.get_secret_value() for name, value in config.headers.items()},
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
            message_id: The same on each attempt, by which the receiver knows a repetition.
            body: UTF-8 text; signed as it is sent.
            content_type: What the body is.

        Raises:
            HttpError: If there was no complete 2xx answer.
        """
        now = datetime.now(UTC)
        headers = {
            "Content-Type": content_type,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now, body.decode()),
        }
        return await self._client.post(self._url, body, headers=headers)
