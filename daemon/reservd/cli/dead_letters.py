"""`reservd events dead-letters`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reservd.store.queries import DeadLetter

_MOST = 10_000


def dead_letters(
    sink: Annotated[str | None, typer.Option("--sink", metavar="SINK", help="Of this sink only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, metavar="NUMBER", help="How many to list.")] = 100,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the events that a sink did not get.

    It refused them for good, or they grew too old. Newest first. `reservd events redeliver` sends one again.
    """
    import asyncio

    found = asyncio.run(_load(config, limit + 1, sink))
    if as_json:
        import json

        from reservd.cli.event_view import as_json as plain

        typer.echo(json.dumps([plain(event, [delivery]) for event, delivery in found[:limit]], indent=2))
    else:
        _print_table(found[:limit])
    if len(found) > limit:
        typer.echo(f"there are more than {limit}: see --limit", err=True)


async def _load(config: "Path", limit: int, sink: str | None) -> "Sequence[DeadLetter]":
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.config.wording import nearest, show
    from reservd.errors import ConfigError
    from reservd.store.queries import load_dead_letters

    settings = load_settings(config)
    async with open_store(config, settings) as database, database.read() as connection:
        found = await load_dead_letters(connection, limit, sink)
    if not found and sink is not None and sink not in settings.event_sinks:
        raise ConfigError(f"event sink {show(sink)} is not configured{nearest(sink, settings.event_sinks)}")
    return found


def _print_table(found: "Sequence[DeadLetter]") -> None:
    from reservd.cli.event_view import LEAST_WIDTH, short_id, show_failure, show_time
    from reservd.cli.table import make_console, make_table, visible
    from reservd.store.letters import UnreadableEvent

    if not found:
        typer.echo("no dead letters")
        return
    table = make_table("Time", "Mode", "Type")
    table.add_column("Sequence", justify="right")
    table.add_column("Sink", no_wrap=True)
    table.add_column("Tries", justify="right")
    table.add_column("ID", no_wrap=True)
    table.add_column("Last failure", overflow="fold")
    for event, delivery in found:
        cells: tuple[object, ...] = ("-", event.strategy_mode, "unreadable", "-")
        if not isinstance(event, UnreadableEvent):
            cells = (show_time(event.timestamp), event.strategy_mode, event.event_type, event.sequence)
        tail = (delivery.sink, delivery.attempts, short_id(event), show_failure(delivery))
        table.add_row(*map(visible, (*cells, *tail)))
    make_console(LEAST_WIDTH).print(table)
