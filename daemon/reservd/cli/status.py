"""`reservd status`."""

import sys
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from reservd.cli.daemon import CaFileOption, TokenFileOption, UrlsOption
from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reservd.client import Client
    from reservd.wire.modes import ModeView

_PAGE = 500


def status(
    modes: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Argument(metavar="MODE", help="The modes to show; all when none is named."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl-C.")] = False,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.2, max=3600, help="How often --watch refreshes.")
    ] = 2.0,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
    urls: UrlsOption = None,
    token_file: TokenFileOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Show the reserves as a running daemon sees them.

    The worst come first. Coverage is of the target: the bar is full at 100 %. Runway is the time until the reserve
    is low, and until it is critical, while it falls. Held is promised to withdrawals. Refill is what was requested
    and has not arrived yet, or why nothing was. Age is that of the oldest input.

    Asks the daemon at the address in the configuration, or at --url. Exits 0 if it answers, whatever the statuses
    are; `reservd check` is for monitoring.
    """
    from reservd.cli.daemon import find_access, open_client

    if watch and as_json:
        raise typer.BadParameter("goes without --json", param_hint="--watch")
    if watch and not sys.stdout.isatty():
        raise typer.BadParameter("needs a terminal; for programs there is --json", param_hint="--watch")
    access = find_access(config, urls, token_file, ca_file)
    if watch:
        from reservd.cli.watch_status import watch_status

        watch_status(access, modes or (), every)
        return
    with open_client(access) as client:
        found = fetch_modes(client, modes or ())
    if as_json:
        import json

        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    from datetime import UTC, datetime

    from reservd.cli.status_view import show_modes
    from reservd.cli.table import make_console

    console = make_console()
    console.print(show_modes(found, datetime.now(UTC), console.width))


def fetch_modes(client: "Client", names: "Sequence[str]") -> "Sequence[ModeView]":
    """Return how the modes of these names stand, or all.

    Raises:
        ConfigError: If the daemon does not watch one of them.
        ApiError: If it does not say.
    """
    from reservd.cli.modes import require_known_mode

    found = {each.mode: each for each in client.walk(client.list_modes, limit=_PAGE)}
    for name in names:
        require_known_mode(name, found)
    return [found[name] for name in dict.fromkeys(names)] if names else list(found.values())
