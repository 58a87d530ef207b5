"""`reservd healthcheck`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.daemon import CaFileOption, TokenFileOption
from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from reservd.cli.daemon import Access

_SECONDS = 3.0
_MAX_BYTES = 64 * 1024


def healthcheck(
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where it serves, such as http://127.0.0.1:9847, instead of the configured address.",
        ),
    ] = None,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Check that a running daemon is healthy.

    For containers and scripts. Exits 0 when the daemon answers within 3 seconds that it is healthy, 1 otherwise.
    """
    import asyncio

    from reservd.cli.daemon import find_access

    access = find_access(config, [url] if url is not None else None, token_file, ca_file)
    asyncio.run(_ask(access))
    typer.echo(f"{access.place} is healthy")


async def _ask(access: "Access") -> None:
    from http import HTTPStatus

    from reservd.cli.daemon import HOW
    from reservd.client.access import Token, trust
    from reservd.errors import ReservdError
    from reservd.plugin.http import HttpClient, HttpError

    (base,) = access.urls
    # Of a user and a password in the URL, which do as well, a client makes the header itself.
    token = None if "@" in base else Token(access.token, access.token_file)
    try:
        async with HttpClient(
            timeout_seconds=_SECONDS,
            max_response_bytes=_MAX_BYTES,
            headers=token.headers() if token is not None else None,
            tls=trust(access.ca_file),
        ) as client:
            await client.get(f"{base}/-/healthy")
    except HttpError as error:
        if error.status == HTTPStatus.UNAUTHORIZED and token is not None and not token.headers():
            raise ReservdError(f"{access.place} needs a token: give it by {HOW}") from None
        raise ReservdError(f"{access.place} is not healthy: {error}") from None
