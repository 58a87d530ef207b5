"""The endpoint: its options, and one request that gives a JSON document."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Secret, SourceConfig, SourceError, Url
from reservd.plugin.http import HttpClient, HttpError, Response

PLACEHOLDER = re.compile(r"\{(mode|currency)\}")

Name = Annotated[str, Field(min_length=1)]


def _check_body(body: SecretStr) -> SecretStr:
    try:
        json.loads(PLACEHOLDER.sub("x", body.get_secret_value()))
    except (ValueError, RecursionError):
        rule = "must be JSON text, with placeholders between quotes only"
        raise PydanticCustomError("json_body", rule) from None
    return body


class EndpointConfig(SourceConfig):
    """Options that both sources share."""

    url: Url
    """What to ask. A secret: it is never shown."""
    body: Annotated[Secret, AfterValidator(_check_body)] | None = None
    """JSON text to POST; a GET when left out. A secret: it is never shown."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More request headers."""
    username: Name | None = None
    """User name of basic authentication."""
    password: Secret | None = None
    """Its password."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer …`."""

    @model_validator(mode="after")
    def _authorized_once(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise PydanticCustomError("basic", "username and password must be given both or not at all")
        if self.username is not None and ":" in self.username:
            raise PydanticCustomError("basic", "username must hold no colon")
        own = any(name.lower() == "authorization" for name in self.headers)
        if own + (self.username is not None) + (self.token is not None) > 1:
            rule = "only one of username, token and an Authorization header must be given"
            raise PydanticCustomError("authorization", rule)
        return self


class Endpoint:
    """Asks for JSON documents. Used as an async context manager.

    Attributes:
        url: Where it is, placeholders included.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self.url = config.url.get_secret_value()
        self._body = config.body.get_secret_value() if config.body is not None else None
        headers = {"Accept": "application/json"}
        headers |= {name: value.get_secret_value() for name, value in config.headers.items()}
        if config.token is not None:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        if config.password is not None:
            pair = f"{config.username}:{config.password.get_secret_value()}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        self._client = HttpClient(timeout_seconds=config.timeout, headers=headers)

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._client.__aexit__(None, None, None)

    async def fetch(self, placeholders: Mapping[str, str]) -> Any:
        """Return the document, its numbers as `int` or `Decimal`.

        Args:
            placeholders: What stands for `{name}`: percent-encoded in the URL, escaped in the body.

        Raises:
            SourceError: If no complete 2xx answer with JSON came.
        """
        url = PLACEHOLDER.sub(lambda match: quote(placeholders[match[1]], safe=""), self.url)
        body = self._body
        if body is not None:
            body = PLACEHOLDER.sub(lambda match: json.dumps(placeholders[match[1]])[1:-1], body)
        return parse(await self._ask(url, body))

    async def ask(self, url: str) -> Response:
        """Return what the endpoint answers at another URL, its body sent as it is.

        Raises:
            SourceError: If no complete 2xx answer came.
        """
        return await self._ask(url, self._body)

    async def _ask(self, url: str, body: str | None) -> Response:
        try:
            if body is None:
                return await self._client.get(url)
            return await self._client.post(url, body.encode())
        except HttpError as error:
            raise SourceError(error.reason, error.detail) from None


def parse(response: Response) -> Any:
    """Return an answer's JSON document, its numbers as `int` or `Decimal`.

    Raises:
        SourceError: If it is not JSON.
    """
    try:
        return response.json()
    except HttpError as error:
        raise SourceError(error.reason, error.detail) from None
