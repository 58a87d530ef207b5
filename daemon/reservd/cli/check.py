"""`reservd check`."""

from collections.abc import Mapping
from datetime import datetime
from decimal import MAX_PREC, ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from reservd.config.load import Config
    from reservd.reserve.models import ReserveSnapshot

_EXACT = Context(prec=MAX_PREC)
_MIN_PLACES, _MAX_PLACES = 2, 6
_COLOURS = {"adequate": "green", "low": "yellow", "critical": "bold red", "unknown": "magenta"}


def check(
    modes: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Argument(metavar="MODE", help="The modes to check; all when none is named."),
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
            from reservd.config.wording import nearest

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

    typer.echo(json.dumps([_plain(snapshot) for snapshot in snapshots.values()], indent=2, default=_text))


def _plain(snapshot: "ReserveSnapshot") -> dict[str, Any]:
    bounds = snapshot.bounds
    return {
        **snapshot._asdict(),
        "bounds": bounds._asdict() if bounds is not None else None,
        "shortfall": snapshot.shortfall,
    }


def _text(value: Decimal | datetime) -> str:
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat()


def _print_table(snapshots: Mapping[str, "ReserveSnapshot"]) -> None:
    from rich.text import Text

    from reservd.cli.table import make_console, make_table

    table = make_table("Mode", "Status")
    for heading in ("Reserve", "Target", "Coverage", "Shortfall", "Equity"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Currency")
    for mode, snapshot in snapshots.items():
        coverage = snapshot.reserve_utilization
        table.add_row(
            Text(mode),
            Text(str(snapshot.status), style=_COLOURS[str(snapshot.status)]),
            _amount(snapshot.reserve_balance),
            _amount(snapshot.target_reserve, ROUND_CEILING),
            _rounded(coverage, ".1%", ROUND_FLOOR) if coverage is not None else "-",
            _amount(snapshot.shortfall, ROUND_CEILING),
            _amount(snapshot.total_equity),
            snapshot.share_class,
        )
    console = make_console()
    console.print(table)
    for mode, snapshot in snapshots.items():
        for line in snapshot.missing:
            console.print(Text(mode, style="bold").append(f": {line}", style="not bold"), soft_wrap=True)


def _amount(value: Decimal | None, rounding: str = ROUND_FLOOR) -> str:
    """Return an amount for people. Rounded so that a reserve that is too small never looks large enough."""
    if value is None:
        return "?"
    exponent = value.normalize(_EXACT).as_tuple().exponent
    places = min(_MAX_PLACES, max(_MIN_PLACES, -int(exponent)))
    return _rounded(value, f",.{places}f", rounding)


def _rounded(value: Decimal, pattern: str, rounding: str) -> str:
    with localcontext(rounding=rounding):
        return format(value, pattern)
