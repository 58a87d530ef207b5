"""The endpoint: its options, and one GET that gives a JSON document."""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Secret, SourceConfig, SourceError, Url
from reservd.plugin.http import HttpClient, HttpError


class EndpointConfig(SourceConfig):
    """Options that both sources share."""

    url: Url
    """What to GET. A secret: it is never shown."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More request headers."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer …`."""

    @model_validator(mode="after")
    def _authorized_once(self) -> Self:
        if self.token is not None and any(name.lower() == "authorization" for name in self.headers):
            raise PydanticCustomError("authorization", "token and an Authorization header must not be given both")
        return self


class Endpoint:
    """GETs JSON documents. Used as an async context manager."""

    def __init__(self, config: EndpointConfig) -> None:
        self._url = config.url.get_secret_value()
        headers = {"Accept": "application/json"}
        headers |= {name: value.get_secret_value() for name, value in config.headers.items()}
        if config.token is not None:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        self._client = HttpClient(timeout_seconds=config.timeout, headers=headers)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._client.__aexit__(None, None, None)

    async def fetch(self, placeholders: Mapping[str, str] | None = None) -> Any:
        """Return the document, its numbers as `int` or `Decimal`.

        Args:
            placeholders: What stands for `{name}` in the URL; percent-encoded here.

        Raises:
            SourceError: If no complete 2xx answer with JSON came.
        """
        url = self._url
        for name, value in (placeholders or {}).items():
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
        try:
            return (await self._client.get(url)).json()
        except HttpError as error:
            raise SourceError(error.reason, error.detail) from None
