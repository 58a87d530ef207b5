"""Options of the `nats` sink and replenisher."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import ConfigPath, Secret, SourceConfig
from reservd_nats.subject import check_template


def _server_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"nats", "tls"} and parts.hostname and parts.port != 0
    except ValueError:  # whose text may contain the URL
        fits = False
    if not fits or any(character.isspace() for character in url):
        raise PydanticCustomError("server_url", "must be a nats:// or tls:// URL with a host")
    return secret


def _credentials(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    # nats-py searches for these lines without end if they are missing.
    if any(f"-----BEGIN {what}-----" not in text for what in ("NATS USER JWT", "USER NKEY SEED")):
        raise PydanticCustomError("credentials", "must be what a .creds file holds: a user's JWT and its NKEY seed")
    return SecretStr("\n".join(text.splitlines()))


class NatsServerConfig(SourceConfig):
    """Options that the `nats` sink and replenisher share: the server and the credentials."""

    servers: list[Annotated[Secret, AfterValidator(_server_url)]] = Field(min_length=1)
    """URLs of one server or of several of one cluster: `nats://host:4222`, or `tls://host:4222`."""
    user: Secret | None = None
    """A user's name; needs `password`."""
    password: Secret | None = None
    """The user's password."""
    token: Secret | None = None
    """A token, for servers without users."""
    credentials: Annotated[Secret, AfterValidator(_credentials)] | None = None
    """The content of a user's `.creds` file; usually given as `credentials_file`."""
    ca_file: ConfigPath | None = None
    """The certificate authorities that the server's certificate is checked against; the system's when left out."""
    tls_first: bool = False
    """Start TLS before the server sends anything; needs `handshake_first` in the server."""

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise PydanticCustomError("sign_in", "user and password must be given together")
        ways = [way for way in (self.user, self.token, self.credentials) if way is not None]
        if len(ways) > 1:
            raise PydanticCustomError("sign_in", "only one of user, token and credentials may be given")
        return self


class NatsConfig(NatsServerConfig):
    """Options of the `nats` sink."""

    subject: Annotated[str, AfterValidator(check_template)] = "reservd.events.{mode}"
    """The subject of events; `{mode}` and `{type}` are replaced."""
    stream: Annotated[str, Field(pattern=r"^[^\s.*>/\\]+$")] | None = None
    """The stream that must take the events; any stream when left out."""


class NatsReplenisherConfig(NatsServerConfig):
    """Options of the `nats` replenisher."""

    subject: Annotated[str, AfterValidator(check_template)] = "reservd.replenishments.{mode}"
    """The subject of requests; `{mode}` is replaced, and `{type}` by the urgency."""
