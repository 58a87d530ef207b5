"""`reservd check`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from reservd.config.load import Config
    from reservd.reserve.models import ReserveSnapshot

_FILE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe: no terminal limits it."""

_COLOURS = {"adequate": "green", "low": "yellow", "critical": "bold red", "unknown": "magenta"}


def check(
    modes: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Argument(metavar="[MODE]...", help="The modes to check; all when none is named."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; amounts are decimal strings.")] = False,
) -> None:
    """Check the reserves once, now, and print what was found.

    Exits as monitoring plugins do: 0 adequate, 1 low, 2 critical, 3 unknown or any failure. Of
    several modes critical wins, then unknown, then low. Nothing is announced and no refill asked for.
    """
    import asyncio

    from reservd.config.load import load_config
    from reservd.errors import ConfigError
    from reservd.log import configure_logging

    configure_logging("error")
    loaded = load_config(config)
    for mode in modes or ():
        if mode not in loaded.modes:
            from reservd.config.problems import nearest

            raise ConfigError(f"mode '{mode}' is not configured{nearest(mode, loaded.modes)}")
    snapshots = asyncio.run(_snapshots(loaded, modes or list(loaded.modes)))
    if as_json:
        _print_json(snapshots)
    else:
        _print_table(snapshots)
    raise typer.Exit(_exit_code(snapshots))


async def _snapshots(loaded: "Config", modes: list[str]) -> Mapping[str, "ReserveSnapshot"]:
    from reservd.monitor.manager import ReserveManager

    manager = ReserveManager(loaded.equity_sources, loaded.balance_sources)
    for mode in modes:
        manager.set_reserve_config(mode, loaded.modes[mode])
    try:
        return await manager.check_all_reserves()
    finally:
        await manager.close()


def _exit_code(snapshots: Mapping[str, "ReserveSnapshot"]) -> int:
    found = {str(snapshot.status) for snapshot in snapshots.values()}
    for status, code in (("critical", 2), ("unknown", 3), ("low", 1)):
        if status in found:
            return code
    return 0


def _print_json(snapshots: Mapping[str, "ReserveSnapshot"]) -> None:
    import json

    typer.echo(json.dumps([_plain(snapshot) for snapshot in snapshots.values()], indent=2))


def _plain(snapshot: "ReserveSnapshot") -> dict[str, Any]:
    from pydantic import TypeAdapter

    plain: dict[str, Any] = TypeAdapter(type(snapshot)).dump_python(snapshot, mode="json")
    shortfall = snapshot.shortfall
    plain["shortfall"] = None if shortfall is None else str(shortfall)
    if snapshot.bounds is not None:
        lower, upper = snapshot.bounds
        plain["bounds"] = {
            "lower": None if lower is None else str(lower),
            "upper": None if upper is None else str(upper),
        }
    return plain


def _print_table(snapshots: Mapping[str, "ReserveSnapshot"]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Mode", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    for heading in ("Reserve", "Target", "Coverage", "Shortfall", "Equity"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Currency")
    for mode, snapshot in snapshots.items():
        coverage = snapshot.reserve_utilization
        table.add_row(
            mode,
            Text(str(snapshot.status), style=_COLOURS[str(snapshot.status)]),
            _amount(snapshot.reserve_balance),
            _amount(snapshot.target_reserve),
            f"{coverage:.1%}" if coverage is not None else "-",
            _amount(snapshot.shortfall),
            _amount(snapshot.total_equity),
            snapshot.share_class,
        )
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(table)
    for mode, snapshot in snapshots.items():
        for line in snapshot.missing:
            console.print(f"[bold]{escape(mode)}[/bold]: {escape(line)}", soft_wrap=True, highlight=False)


def _amount(value: Any) -> str:
    if value is None:
        return "?"
    places = min(6, max(2, -value.normalize().as_tuple().exponent))
    return f"{value:,.{places}f}"
