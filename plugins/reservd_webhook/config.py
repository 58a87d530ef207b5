"""The options of the `webhook` sink and replenisher."""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Secret, SourceConfig, Url
from reservd_webhook.targets import canonical, host_of, is_certainly_private, is_ip_address

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
"""The lengths that the scheme requires."""
_HOST_NAME = re.compile(r"[\w.-]+")


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


def _host(text: str) -> str:
    host = canonical(text)
    if not (is_ip_address(host) or _HOST_NAME.fullmatch(host)):
        raise PydanticCustomError("host", "must be a host name or an IP address, without scheme, port and path")
    return host


SigningKey = Annotated[Secret, AfterValidator(_signing_key)]
"""A key of the Standard Webhooks scheme."""
Host = Annotated[str, AfterValidator(_host)]
"""A host name or an IP literal, in its canonical spelling."""


class WebhookConfig(SourceConfig):
    """Options that the sink and the replenisher share."""

    url: Url
    """The URL to POST to. A redirect is a failure: it is never followed."""
    secret: SigningKey
    """The signing key: `whsec_` and 24 to 64 bytes in base64. The receiver has the same."""
    previous_secrets: Annotated[tuple[SigningKey, ...], Field(max_length=4)] = ()
    """Keys that sign as well while receivers change over to `secret`."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, for instance for a gateway."""
    allow_private_hosts: tuple[Host, ...] = ()
    """Hosts, as written in the URL, that may have private, loopback or link-local addresses."""

    @field_validator("allow_private_hosts")
    @classmethod
    def _has_the_host_of_the_url(cls, hosts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        url: SecretStr | None = info.data.get("url")
        host = host_of(url.get_secret_value()) if url is not None else ""
        if is_certainly_private(host) and host not in hosts:
            rule = "must list {host}, where url leads to: it is not public"
            raise PydanticCustomError("private_host", rule, {"host": host})
        return hosts
