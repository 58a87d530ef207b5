"""`reservd healthcheck`."""

from typing import Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

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

    from reservd.cli.daemon import find_url, show_url

    base = _checked(url) if url is not None else find_url(config)
    asyncio.run(_ask(base))
    typer.echo(f"{show_url(base)} is healthy")


async def _ask(base: str) -> None:
    from reservd.cli.daemon import show_url
    from reservd.errors import CallError, ReservdError
    from reservd.plugin.http import HttpClient

    try:
        async with HttpClient(timeout_seconds=_SECONDS, max_response_bytes=_MAX_BYTES) as client:
            await client.get(f"{base}/-/healthy")
    except CallError as error:
        raise ReservdError(f"{show_url(base)} is not healthy: {error}") from None


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
