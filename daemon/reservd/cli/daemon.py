"""Finds the running daemon and queries its API."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from reservd.client import Client
    from reservd.errors import ApiError, ReservdError

_TIMEOUT_SECONDS = 10.0
_TOKEN = "RESERVD_TOKEN"  # noqa: S105  # the name of a variable
_WHERE = "give its address by --url (https:// with TLS) and its CA certificate by --ca-file"
HOW = f"--token-file, $RESERVD_TOKEN_FILE or ${_TOKEN}"

UrlsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        metavar="URL",
        envvar="RESERVD_URL",
        help="The daemon's URL, such as https://reservd.internal:9847, instead of the configured address; for a "
        "daemon and its standby, give both.",
    ),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="RESERVD_TOKEN_FILE",
        help=f"A file with an API token, where reads need one; ${_TOKEN} may hold the token instead.",
    ),
]
CaFileOption = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        envvar="RESERVD_CA_FILE",
        help="The CA certificates to trust for https, instead of the system's.",
    ),
]


class Access(NamedTuple):
    """How a daemon is asked.

    Attributes:
        urls: Where it serves, and its standbys.
        token_file: The file with a token; None for none.
        ca_file: The certificates that are believed; None for the system's.
    """

    urls: Sequence[str]
    token_file: Path | None
    ca_file: Path | None

    @property
    def token(self) -> str | None:
        """The token of the environment; a file that is named goes before it."""
        return os.environ.get(_TOKEN) or None if self.token_file is None else None

    @property
    def place(self) -> str:
        """Where that is, for people."""
        return " and ".join(show_url(url) for url in self.urls)


def find_access(config: Path, urls: Sequence[str] | None, token_file: Path | None, ca_file: Path | None) -> Access:
    """Return how the daemon of a configuration is asked.

    Args:
        config: The configuration file; read only where no URL is given.
        urls: Where it serves.
        token_file: The file with a token.
        ca_file: The certificates that are believed.

    Raises:
        BadParameter: If a URL is none.
        ConfigError: If the configuration does not hold.
        ReservdError: If it does not say where the daemon serves.
    """
    return Access(tuple(map(_checked, urls)) if urls else (find_url(config),), token_file, ca_file)


@contextlib.contextmanager
def open_client(access: Access, timeout_seconds: float = _TIMEOUT_SECONDS) -> Iterator["Client"]:
    """Give a client of a daemon; what goes wrong is told as one line that says where and what to do.

    Raises:
        ReservdError: If the daemon does not answer, or will not.
        ConfigError: If an option cannot be used.
    """
    from reservd.client import Client
    from reservd.errors import ApiError

    try:
        with Client(
            access.urls,
            token=access.token,
            token_file=access.token_file,
            ca_file=access.ca_file,
            timeout_seconds=timeout_seconds,
        ) as client:
            yield client
    except ApiError as error:
        raise explain(error, access) from None


def explain(error: "ApiError", access: Access) -> "ReservdError":
    """Return what went wrong with a daemon for people: where, what, and the mend when it is known."""
    from http import HTTPStatus

    from reservd.errors import ApiUnavailableError, ReservdError

    given = access.token is not None or access.token_file is not None
    if error.status == HTTPStatus.UNAUTHORIZED:
        what = f"refuses the token: {error.detail}" if given else f"needs a token: give it by {HOW}"
    elif error.status == HTTPStatus.FORBIDDEN:
        what = f"does not allow it: {error.detail}"
    elif isinstance(error, ApiUnavailableError) and error.status is None:
        what = f"does not answer: {error}; {_WHERE}"
    elif error.kind == "standby":
        what = f"is on standby: {error.detail}; give the URL of the active one by --url"
    else:
        what = f"refuses: {error}"
    return ReservdError(f"{access.place} {what}")


def find_url(config: Path) -> str:
    """Return where the configuration makes the daemon listen; of several addresses, the first.

    Raises:
        ConfigError: If the configuration does not hold.
        ReservdError: If it takes any free port.
    """
    from reservd.config.load import load_settings
    from reservd.errors import ReservdError

    address = load_settings(config).web.listen_address[0]
    host, _, port = address.rpartition(":")
    if int(port) == 0:
        raise ReservdError(f"{config} makes the daemon listen on any free port: give its URL by --url")
    return f"http://{_reachable(host)}:{port}"


def _checked(url: str) -> str:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter("must be a URL such as http://127.0.0.1:9847", param_hint="--url")
    return url.rstrip("/")


def show_url(url: str) -> str:
    """Return where that is, without what may be secret in a URL."""
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.rpartition("@")[2]


def _reachable(host: str) -> str:
    """Return the host to ask: what listens on all addresses is asked on the loopback."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host or "127.0.0.1"
    if isinstance(address, ipaddress.IPv6Address):
        return "[::1]" if address.is_unspecified else f"[{address}]"
    return "127.0.0.1" if address.is_unspecified else str(address)
