"""Options of the `kafka` sink."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import ConfigPath, Secret, SourceConfig

Address = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^\s:/,@\[\]]+):[0-9]{1,5}$")]
"""`host:port`, or `[address]:port` for IPv6."""


class KafkaConfig(SourceConfig):
    """Options of the `kafka` sink."""

    bootstrap_servers: list[Address] = Field(min_length=1)
    """Some brokers of the cluster, each `host:port`; the others are discovered."""
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] = "reservd-events"
    """The topic for events."""
    tls: bool = False
    """Whether to use TLS."""
    ca_file: ConfigPath | None = None
    """The certificate authorities that the brokers are checked against; the system's when left out."""
    username: Secret | None = None
    """The SASL user name; needs `password`."""
    password: Secret | None = None
    """The password."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    """The SASL mechanism. PLAIN without `tls` sends the password in the clear."""

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise PydanticCustomError("sign_in", "username and password must be given together")
        if self.ca_file is not None and not self.tls:
            raise PydanticCustomError("ca_file", "ca_file needs tls: true")
        return self
