"""`reservd events show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reservd.reserve.replenishment.event import AnyEvent
    from reservd.store.queries import StoredEvent

EventIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The event's id, or the beginning of it.")]


def show(event_id: EventIdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show one event, its check and its deliveries."""
    import asyncio

    found = asyncio.run(_load(config, event_id))
    if as_json:
        import json

        from reservd.cli.event_view import as_json as plain
        from reservd.cli.explain import plain_explanation

        explanation = plain_explanation(found.explanation) if found.explanation is not None else None
        whole = {**plain(found.event, found.deliveries), "explanation": explanation}
        typer.echo(json.dumps(whole, indent=2))
    else:
        _print(found)


async def _load(config: "Path", event_id: str) -> "StoredEvent":
    from reservd.cli.find_by_id import find_event
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        return await find_event(connection, event_id)


def _facts(event: "AnyEvent") -> "Sequence[tuple[str, object]]":
    from reservd.cli.event_view import show_time
    from reservd.reserve.models import ReserveEvent

    facts = [
        ("Type", event.event_type),
        ("Mode", event.strategy_mode),
        ("Sequence", event.sequence),
        ("Incident", event.incident_id or "none"),
        ("Decided", show_time(event.timestamp)),
    ]
    if not isinstance(event, ReserveEvent):
        said = f"{event.state}: {event.detail or event.reason}"
        return [*facts, ("Replenishment", event.replenishment_id), ("Said", said)]
    return [
        *facts,
        ("Reminder", "yes" if event.reminder else "no"),
        ("Superseded", "yes: a later change is known" if event.superseded else "no"),
        ("Reason", event.reason),
    ]


def _print(found: "StoredEvent") -> None:
    from reservd.cli.event_view import message_text, show_failure, show_time
    from reservd.cli.table import make_console, make_table, visible

    event = found.event
    console = make_console()
    facts = make_table("Event", event.id)
    for name, value in _facts(event):
        facts.add_row(visible(name), visible(value))
    facts.columns[1].no_wrap = False
    console.print(facts)
    if found.deliveries:
        table = make_table("Sink", "State")
        table.add_column("Tries", justify="right")
        table.add_column("Last try", no_wrap=True)
        table.add_column("Last failure", overflow="fold")
        for each in found.deliveries:
            tried = show_time(each.tried_at) if each.tried_at is not None else "-"
            table.add_row(*map(visible, (each.sink, each.state, each.attempts, tried, show_failure(each))))
        console.print("", table, sep="\n")
    else:
        console.print("", "It was not for any sink.", sep="\n")
    if found.explanation is not None:
        from reservd.cli.explain import print_explanation

        console.print("", "The check that led to it:", sep="\n")
        print_explanation(console, found.explanation)
        made = f"  made by reservd {found.explanation.version}, configuration {found.explanation.configuration}"
        console.print(visible(made), soft_wrap=True)
    console.print("", "As a consumer would receive it now:", sep="\n")
    # Not by the console, which would break long lines.
    typer.echo(message_text(event))
