"""The web config file that Prometheus exporters share: TLS, passwords and headers of the whole server.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

import re
import ssl
from pathlib import Path
from typing import Annotated, Literal

import bcrypt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from reservd.config.document import read_document
from reservd.config.problems import explain
from reservd.errors import ConfigError
from reservd.plugin.options import ConfigPath

_BCRYPT = re.compile(r"(\$2[aby]\$)(?:0[4-9]|[12]\d|3[01])(\$[./A-Za-z0-9]{53})")
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}

Version = Literal["TLS12", "TLS13"]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True, populate_by_name=True
    )


class TlsServerConfig(_Section):
    """Certificates. Paths are relative to the file."""

    cert_file: ConfigPath
    """The certificate and its chain to the authority, as PEM."""
    key_file: ConfigPath
    """Its key, as PEM."""
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    """Whether clients present a certificate. Go's two types that verify nothing are not supported."""
    client_ca_file: ConfigPath | None = None
    """The authorities that sign the certificates of clients, as PEM."""
    min_version: Version = "TLS12"
    max_version: Version = "TLS13"

    @model_validator(mode="after")
    def _names_an_authority(self) -> "TlsServerConfig":
        if (self.client_auth_type == "NoClientCert") != (self.client_ca_file is None):
            raise PydanticCustomError("client_ca", "must give client_ca_file together with a client_auth_type")
        return self


class HeaderConfig(_Section):
    """Headers of every response that does not set them itself."""

    content_security_policy: Annotated[str | None, Field(alias="Content-Security-Policy")] = None
    strict_transport_security: Annotated[str | None, Field(alias="Strict-Transport-Security")] = None
    x_content_type_options: Annotated[Literal["nosniff"] | None, Field(alias="X-Content-Type-Options")] = None
    x_frame_options: Annotated[Literal["deny", "sameorigin"] | None, Field(alias="X-Frame-Options")] = None
    x_xss_protection: Annotated[str | None, Field(alias="X-XSS-Protection")] = None


class HttpServerConfig(_Section):
    """How HTTP is spoken."""

    http2: bool = True
    """Accepted for compatibility with exporters: this server always speaks HTTP/1.1."""
    headers: HeaderConfig = HeaderConfig()


def _is_bcrypt(value: SecretStr) -> SecretStr:
    """Refuse a hash that no password can be compared with: it would fail every request, scrapes included."""
    parts = _BCRYPT.fullmatch(value.get_secret_value())
    try:
        # Checked by bcrypt itself, at the lowest cost: not every salt of the right letters is valid.
        fits = parts is not None and bcrypt.checkpw(b"", f"{parts[1]}04{parts[2]}".encode()) is not None
    except ValueError:
        fits = False
    if not fits:
        raise PydanticCustomError("bcrypt", "must be a bcrypt hash, as `htpasswd -nBC 10 ''` prints it")
    return value


class WebConfig(_Section):
    """The whole file."""

    tls_server_config: TlsServerConfig | None = None
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: Annotated[
        dict[str, Annotated[SecretStr, AfterValidator(_is_bcrypt)]], Field(max_length=1000)
    ] = {}
    """The bcrypt hash of the password by user. Only these users, and tokens of the API, are admitted."""

    @property
    def users(self) -> dict[str, str]:
        """Hash by name."""
        return {name: each.get_secret_value() for name, each in self.basic_auth_users.items()}

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every answer."""
        found: dict[str, str] = self.http_server_config.headers.model_dump(by_alias=True, exclude_none=True)
        return found


def read_web_config(path: Path) -> WebConfig:
    """Return the content of a web config file.

    Raises:
        ConfigError: With every error in it, one line each.
    """
    document = read_document(path)
    problems = list(document.problems)
    config = WebConfig()
    try:
        config = WebConfig.model_validate(document.values, context={"directory": path.parent})
    except ValidationError as error:
        problems += explain(error, WebConfig, document)
    if problems:
        raise ConfigError(problems)
    return config


class TlsFiles:
    """A TLS context that follows its files: new connections get a renewed certificate.

    Args:
        config: Names the files.

    Attributes:
        context: For the server.

    Raises:
        ConfigError: If the files cannot be used.
    """

    def __init__(self, config: TlsServerConfig) -> None:
        self._config = config
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = _VERSIONS[config.min_version]
        self.context.maximum_version = _VERSIONS[config.max_version]
        self.context.verify_mode = _VERIFY[config.client_auth_type]
        self._stamp = self._look()
        self._load()
        if config.client_ca_file is not None:
            try:
                self.context.load_verify_locations(config.client_ca_file)
            except (OSError, ssl.SSLError) as error:
                raise ConfigError(f"{config.client_ca_file}: must hold certificates as PEM: {error}") from None

    def renew(self) -> bool:
        """Read the certificate and key again if they changed. Return whether they did.

        Raises:
            ConfigError: If they cannot be used. The previous ones stay in use.
        """
        stamp = self._look()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self._load()
        return True

    def _load(self) -> None:
        cert, key = self._config.cert_file, self._config.key_file
        try:
            # Tried in another context first: a failure must not leave half of a pair in this one.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
            self.context.load_cert_chain(cert, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"{cert} and {key}: must be a certificate and its key as PEM: {error}") from None

    def _look(self) -> tuple[int, ...]:
        try:
            return tuple(path.stat().st_mtime_ns for path in (self._config.cert_file, self._config.key_file))
        except OSError:
            return ()
