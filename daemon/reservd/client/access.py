"""The daemon's URLs and the caller's token, checked before anything is sent."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from reservd.errors import ConfigError

_MAX_TOKEN = 4096


def check_urls(urls: str | Sequence[str]) -> tuple[str, ...]:
    """Return the URLs of daemons, without a slash at their ends.

    Raises:
        ConfigError: If there is none, or one is not a plain http or https URL. The message does not repeat the value:
            people put secrets into URLs.
    """
    given = (urls,) if isinstance(urls, str) else tuple(urls)
    if not given:
        raise ConfigError("url: must be the URL of a daemon, such as http://127.0.0.1:9847, got none")
    return tuple(_check_url(url) for url in given)


def _check_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise ConfigError("url: must be an http or https URL with a host, such as http://127.0.0.1:9847")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("url: must not contain a user, password, query or fragment: use a token instead")
    return url.rstrip("/")


class Token:
    """A bearer token: given directly, or in a file that is read for each call, so that a new token counts at once.

    Args:
        token: The token; None for none.
        file: The file with the token; None when it is given directly.

    Raises:
        ConfigError: If both are given, or the token cannot be sent.
    """

    def __init__(self, token: str | None, file: Path | str | None) -> None:
        if token is not None and file is not None:
            raise ConfigError("token: must be given directly or as a file, not both")
        self._token = None if token is None else _check_token(token, "token")
        self._file = None if file is None else Path(file)

    def headers(self) -> dict[str, str]:
        """Return the header with the token; an empty mapping without a token.

        Raises:
            ConfigError: If the file cannot be read or holds no token.
        """
        token = self._token if self._file is None else _read_token(self._file)
        return {} if token is None else {"Authorization": f"Bearer {token}"}


def trust(ca_file: Path | str | None) -> ssl.SSLContext | bool:
    """Return the trusted certificates: the system's authorities, or only those in the file.

    Raises:
        ConfigError: If the file holds no certificates.
    """
    if ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # `ssl.SSLError` is one
        raise ConfigError(f"ca_file: {ca_file}: must hold certificates in PEM: {error.strerror}") from None


def _read_token(file: Path) -> str:
    try:
        with file.open(encoding="ascii") as opened:
            token = opened.read(_MAX_TOKEN + 1)
    except OSError as error:
        raise ConfigError(f"token_file: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"token_file: {file}: must hold a token") from None
    return _check_token(token.strip(), f"token_file: {file}")


def _check_token(token: str, where: str) -> str:
    if not token or len(token) > _MAX_TOKEN or not all("!" <= letter <= "~" for letter in token):
        raise ConfigError(f"{where}: must be one word of at most {_MAX_TOKEN} printable ASCII characters")
    return token
