"""`reservd check`."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption

if TYPE_CHECKING:
    from reservd.config.load import Config
    from reservd.monitor.manager import ReserveManager
    from reservd.reserve.explanation import Explanation
    from reservd.reserve.models import ReserveSnapshot

_STORE_SECONDS = 10.0


def check(
    modes: Annotated[
        Optional[list[str]],  # noqa: UP045  # typer reads the annotation
        typer.Argument(metavar="MODE", help="The modes to check; all when none is named."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; amounts are decimal strings.")] = False,
    with_why: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show where amounts came from, how old they are, and the reason for each status."
        ),
    ] = False,
) -> None:
    """Check the reserves once and print the result.

    Modes that share accounts with the named ones are read too, since what they need decides what is left. Amounts
    promised to accepted withdrawals are read from the store and subtracted; if the store cannot be read, no mode is
    better than unknown.

    Exits as monitoring plugins do: 0 adequate, 1 low, 2 critical, 3 unknown or any failure. Of several modes
    critical wins, then unknown, then low. Nothing is announced, and no refill is requested.
    """
    from reservd.cli.forced_exit import end_process, run_until_answered
    from reservd.cli.modes import require_known_mode
    from reservd.config.load import load_config
    from reservd.log import configure_logging

    configure_logging("error")
    loaded = load_config(config)
    for mode in modes or ():
        require_known_mode(mode, loaded.modes)
    asked = modes or list(loaded.modes)
    (found, unread), ended = run_until_answered(_check(config, loaded, asked))
    snapshots = {mode: explanation.snapshot for mode, explanation in found.items()}
    if as_json:
        _print_json(found, with_why)
    elif with_why:
        _print_explanations(found.values())
    else:
        _print_table(snapshots)
    for mode in asked:
        if mode not in snapshots:
            typer.echo(f"mode '{mode}' could not be checked", err=True)
    if unread:
        typer.echo(f"the amount held for accepted withdrawals is not known: {unread}", err=True)
    code = worst_code(snapshots, asked, holds_known=not unread)
    if not ended:
        end_process(code)
    raise typer.Exit(code)


async def _check(config: Path, loaded: "Config", modes: list[str]) -> tuple[Mapping[str, "Explanation"], str]:
    """Return what was found of each mode, and why nobody knows what is promised of it; empty when that is known."""
    from reservd.monitor.manager import ReserveManager

    manager = ReserveManager(loaded.equity_sources, loaded.balance_sources, price_sources=loaded.price_sources)
    for mode, each in loaded.modes.items():
        manager.set_reserve_config(mode, each)
    try:
        unread = await _take_off_holds(config, loaded, manager)
        await manager.check_reserves(modes)
        explained = {mode: manager.explain(mode) for mode in modes}
        return {mode: each for mode, each in explained.items() if each is not None}, unread
    finally:
        await manager.close()


async def _take_off_holds(config: Path, loaded: "Config", manager: "ReserveManager") -> str:
    """Have checks know what the store says is promised; return why it does not say, or nothing."""
    import asyncio

    from reservd.errors import StoreError
    from reservd.monitor.clock import SystemClock
    from reservd.service.withdrawals.held_reserves import HeldReserves
    from reservd.service.withdrawals.journal import HoldJournal
    from reservd.store.access import open_database, require_current
    from reservd.store.ownership import Ownership

    database = open_database(loaded.settings.store.url.get_secret_value(), config.parent)
    try:
        if database.path is not None and not database.path.exists():
            return ""  # no daemon ever ran on it
        async with asyncio.timeout(_STORE_SECONDS):
            await require_current(database)
            journal = HoldJournal(database, Ownership(database), SystemClock(), loaded.modes)
            held = HeldReserves(manager, journal)
            await journal.open()
    except TimeoutError:
        return f"the store did not answer within {_STORE_SECONDS:g} s"
    except StoreError as error:
        return str(error)
    finally:
        await database.close()
    manager.holds = held
    return ""


def worst_code(snapshots: Mapping[str, "ReserveSnapshot"], asked: Iterable[str], *, holds_known: bool = True) -> int:
    """Return the exit code for the modes that were asked about; one without a snapshot is unknown.

    So is every one while nobody knows what is promised of the reserves.
    """
    found = {str(snapshots[mode].status) if mode in snapshots else "unknown" for mode in asked}
    if not holds_known:
        found.add("unknown")
    for status, code in (("critical", 2), ("unknown", 3), ("low", 1)):
        if status in found:
            return code
    return 0


def _print_explanations(found: Iterable["Explanation"]) -> None:
    from reservd.cli.explain import print_explanation
    from reservd.cli.table import make_console

    console = make_console()
    for explanation in found:
        print_explanation(console, explanation)
        console.print()


def _print_json(found: Mapping[str, "Explanation"], with_why: bool) -> None:
    import json

    from reservd.cli.explain import plain_explanation

    shown = [{**_plain(each.snapshot), **(plain_explanation(each) if with_why else {})} for each in found.values()]
    typer.echo(json.dumps(shown, indent=2, default=_text))


def _plain(snapshot: "ReserveSnapshot") -> dict[str, Any]:
    bounds = snapshot.bounds
    plain = {
        **snapshot._asdict(),
        "bounds": bounds._asdict() if bounds is not None else None,
        "shortfall": snapshot.shortfall,
    }
    del plain["accounts"], plain["seen"], plain["equity_seen"], plain["equity_parts"]  # part of the explanation
    return plain


def _text(value: Decimal | datetime) -> str:
    return format(value, "f") if isinstance(value, Decimal) else value.isoformat()


def _print_table(snapshots: Mapping[str, "ReserveSnapshot"]) -> None:
    from rich.text import Text

    from reservd.cli.amounts import show_amount, show_needed, show_ratio
    from reservd.cli.table import STATUS_STYLES, make_console, make_table

    table = make_table("Mode", "Status")
    for heading in ("Reserve", "Target", "Coverage", "Shortfall", "Equity"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Currency")
    for mode, snapshot in snapshots.items():
        coverage = snapshot.reserve_utilization
        table.add_row(
            Text(mode),
            Text(str(snapshot.status), style=STATUS_STYLES[str(snapshot.status)]),
            show_amount(snapshot.reserve_balance),
            show_needed(snapshot.target_reserve),
            show_ratio(coverage) if coverage is not None else "-",
            show_needed(snapshot.shortfall),
            show_amount(snapshot.total_equity),
            snapshot.share_class,
        )
    console = make_console()
    console.print(table)
    for mode, snapshot in snapshots.items():
        for line in snapshot.missing:
            console.print(Text(mode, style="bold").append(f": {line}", style="not bold"), soft_wrap=True)
