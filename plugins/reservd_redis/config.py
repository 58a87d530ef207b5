"""Options of the `redis` sink."""

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import ConfigPath, Secret, SourceConfig

_DATABASE = re.compile(r"/?[0-9]*")
_TLS = "rediss"
_MODE = "{mode}"
_MOST_SECONDS = 30 * 86400


def _redis_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"redis", _TLS} and parts.hostname and parts.port != 0
        fits = fits and _DATABASE.fullmatch(parts.path) and not parts.query and not parts.fragment
    except ValueError:  # whose text may contain the URL
        fits = False
    if not fits or any(character.isspace() for character in url):
        rule = "must be a redis:// or rediss:// URL with a host, and after it nothing but a database's number"
        raise PydanticCustomError("redis_url", rule)
    return secret


def _stream_template(template: str) -> str:
    if not template or set("{}") & set(template.replace(_MODE, "")):
        raise PydanticCustomError("stream", "must be a key, without other braces than {{mode}}")
    return template


class RedisConfig(SourceConfig):
    """Options of the `redis` sink."""

    url: Annotated[Secret, AfterValidator(_redis_url)]
    """`redis://user:password@host:6379/0`, or `rediss://` for TLS."""
    stream: Annotated[str, AfterValidator(_stream_template)] = "reservd:events"
    """The key of the stream; `{mode}` is replaced."""
    max_length: int = Field(default=100_000, ge=1)
    """The least number of entries that the stream keeps; some hundred more may stay until trimming them is cheap."""
    deduplicate_for: int = Field(default=86_400, ge=1, le=_MOST_SECONDS)
    """Seconds for which a repeated event is not added again."""
    ca_file: ConfigPath | None = None
    """The certificate authorities that the server's certificate is checked against; the system's when left out."""

    @model_validator(mode="after")
    def _ca_file_needs_tls(self) -> Self:
        if self.ca_file is not None and not self.uses_tls:
            raise PydanticCustomError("ca_file", "ca_file needs a rediss:// URL")
        return self

    @property
    def uses_tls(self) -> bool:
        """Whether the URL requires TLS."""
        return urlsplit(self.url.get_secret_value()).scheme == _TLS

    def stream_of(self, mode: str) -> str:
        """Return the key of the stream for the events of a mode."""
        return self.stream.replace(_MODE, mode)
