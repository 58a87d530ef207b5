"""`reservd events`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.dead_letters import dead_letters
from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, refuse_options
from reservd.cli.redeliver import redeliver
from reservd.cli.show_event import show

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reservd.store.queries import StoredEvent

_MOST = 10_000

events = typer.Typer(rich_markup_mode=None, add_completion=False)
events.command()(show)
events.command("dead-letters")(dead_letters)
events.command()(redeliver)


@events.callback(invoke_without_command=True)
def _events(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="Of this mode only.")] = None,
    event_type: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Of this type only: reserve_low, reserve_critical, reserve_adequate, reserve_unknown, "
            "reserve_runway_low; or replenishment_changed, which is listed on request only.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, metavar="NUMBER", help="How many to list.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List, show and redeliver events.

    Newest first. The list is of the store: what a daemon holds in memory while the store is gone is not there yet.
    """
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    import asyncio

    found = asyncio.run(_load(config, limit, mode, _known_type(event_type)))
    if as_json:
        _print_json(found)
    else:
        _print_table(found)


def _known_type(text: str | None) -> str | None:
    from reservd.reserve.models import EventType
    from reservd.reserve.replenishment.event import REPLENISHMENT_CHANGED

    known = [*map(str, EventType), REPLENISHMENT_CHANGED]
    if text is not None and text not in known:
        raise typer.BadParameter(f"must be one of {', '.join(known)}", param_hint="--type")
    return text


async def _load(config: "Path", limit: int, mode: str | None, event_type: str | None) -> "Sequence[StoredEvent]":
    from reservd.cli.modes import require_mode
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.queries import load_newest_events

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        found = await load_newest_events(connection, limit, mode, event_type)
        known = bool(found) or mode is None or bool(await load_newest_events(connection, 1, mode))
    if not known and mode is not None:
        require_mode(config, mode, " and has no events")
    return found


def _print_json(found: "Sequence[StoredEvent]") -> None:
    import json

    from reservd.cli.event_view import as_json

    typer.echo(json.dumps([as_json(each.event, each.deliveries) for each in found], indent=2))


def _print_table(found: "Sequence[StoredEvent]") -> None:
    from reservd.cli.event_view import LEAST_WIDTH, short_id, show_time, summarize
    from reservd.cli.table import make_console, make_table, visible

    if not found:
        typer.echo("no events")
        return
    table = make_table("Time", "Mode", "Type")
    table.add_column("Sequence", justify="right")
    table.add_column("Reminder")
    table.add_column("ID", no_wrap=True)
    table.add_column("Deliveries", overflow="fold")
    for _, event, deliveries, _ in found:
        cells = (show_time(event.timestamp), event.strategy_mode, event.event_type, event.sequence)
        tail = ("yes" if event.reminder else "no", short_id(event), summarize(deliveries))
        table.add_row(*map(visible, (*cells, *tail)))
    make_console(LEAST_WIDTH).print(table)
