"""The options of an HTTP endpoint: its URL and its credentials."""

from base64 import b64encode
from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin.options import Secret, SourceConfig, Url


class EndpointConfig(SourceConfig):
    """Options of a plugin that calls one HTTP endpoint."""

    url: Url
    """The URL to call. A secret: it is never shown."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More request headers."""
    username: Annotated[str, Field(min_length=1)] | None = None
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

    def request_headers(self) -> dict[str, str]:
        """Return the headers of a request for JSON. They include secrets: only for the client, never to be shown."""
        headers = {"Accept": "application/json", "Cache-Control": "no-cache"}
        headers |= {name: value.get_secret_value() for name, value in self.headers.items()}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token.get_secret_value()}"
        if self.password is not None:
            pair = f"{self.username}:{self.password.get_secret_value()}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        return headers
