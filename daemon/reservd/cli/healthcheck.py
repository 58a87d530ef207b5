"""`reservd healthcheck`."""

import ipaddress
from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 3.0
_MAX_BYTES = 64 * 1024


def healthcheck(
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where it serves, such as http://127.0.0.1:9847, in place of what the file says.",
        ),
    ] = None,
) -> None:
    """Ask a running daemon whether it does its work.

    For containers and scripts. Exits 0 when the daemon answers within 3 seconds that it is healthy, 1 otherwise.
    """
    import asyncio

    base = _checked(url) if url is not None else _listens(config)
    asyncio.run(_ask(base))
    typer.echo(f"{_shown(base)} is healthy")


async def _ask(base: str) -> None:
    from reservd.errors import CallError, ReservdError
    from reservd.plugin.http import HttpClient

    try:
        async with HttpClient(timeout_seconds=_SECONDS, max_response_bytes=_MAX_BYTES) as client:
            await client.get(f"{base}/-/healthy")
    except CallError as error:
        raise ReservdError(f"{_shown(base)} is not healthy: {error}") from None


def _listens(config: "Path") -> str:
    """Return where the configuration makes the daemon listen; of several addresses, the first."""
    from reservd.config.load import load_settings
    from reservd.errors import ReservdError

    address = load_settings(config).web.listen_address[0]
    host, _, port = address.rpartition(":")
    if int(port) == 0:
        raise ReservdError(f"{config} makes the daemon listen on any free port: tell which by --url")
    return f"http://{_reachable(host)}:{port}"


def _reachable(host: str) -> str:
    """Return the host to ask: what listens on all addresses is asked on the loopback."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host or "127.0.0.1"
    if isinstance(address, ipaddress.IPv6Address):
        return "[::1]" if address.is_unspecified else f"[{address}]"
    return "127.0.0.1" if address.is_unspecified else str(address)


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


def _shown(base: str) -> str:
    """Return where that is, without what may be secret in a URL."""
    from urllib.parse import urlsplit

    return urlsplit(base).netloc.rpartition("@")[2]
