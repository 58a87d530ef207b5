"""The endpoint: its options, and one request for a JSON document."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from reservd.plugin import Secret
from reservd.plugin.endpoint import EndpointConfig
from reservd.plugin.http import HttpClient, HttpError, Response
from reservd_http_json.template import placeholder_of

_PLACEHOLDER = placeholder_of("mode", "currency")

Name = Annotated[str, Field(min_length=1)]


def _check_body(body: SecretStr) -> SecretStr:
    try:
        json.loads(_PLACEHOLDER.sub("x", body.get_secret_value()))
    except (ValueError, RecursionError):
        rule = "must be JSON text, with placeholders between quotes only"
        raise PydanticCustomError("json_body", rule) from None
    return body


class JsonEndpointConfig(EndpointConfig):
    """Options that all `http_json` sources share."""

    body: Annotated[Secret, AfterValidator(_check_body)] | None = None
    """JSON text to POST; a GET when left out. It is a secret and never shown."""


class Endpoint:
    """Requests JSON documents. Used as an async context manager.

    Attributes:
        url: Its URL, with placeholders.
    """

    def __init__(self, config: JsonEndpointConfig) -> None:
        self.url = config.url.get_secret_value()
        self._body = config.body.get_secret_value() if config.body is not None else None
        self._client = HttpClient(timeout_seconds=config.timeout, headers=config.request_headers())

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._client.__aexit__(None, None, None)

    async def fetch(self, placeholders: Mapping[str, str]) -> Response:
        """Return the endpoint's answer.

        Args:
            placeholders: The values of `{name}`: percent-encoded in the URL, escaped in the body.

        Raises:
            SourceError: If no complete 2xx answer came.
        """
        url = _PLACEHOLDER.sub(lambda match: quote(placeholders[match[1]], safe=""), self.url)
        body = self._body
        if body is not None:
            body = _PLACEHOLDER.sub(lambda match: json.dumps(placeholders[match[1]])[1:-1], body)
        return await self._ask(url, body)

    async def ask(self, url: str) -> Response:
        """Return the endpoint's answer at another URL; the body is sent unchanged.

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
            raise error.of_source() from None


def parse(response: Response) -> Any:
    """Return an answer's JSON document, its numbers as `int` or `Decimal`.

    Raises:
        SourceError: If it is not JSON.
    """
    try:
        return response.json()
    except HttpError as error:
        raise error.of_source() from None
