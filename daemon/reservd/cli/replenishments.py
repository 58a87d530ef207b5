"""`reservd replenishments`."""

from typing import TYPE_CHECKING, Annotated

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption
from reservd.cli.order_replenishment import approve, cancel, reject, request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reservd.reserve.replenishment_event import ReplenishmentEvent
    from reservd.reserve.replenishment_states import Replenishment

_MOST = 10_000

replenishments = typer.Typer(
    rich_markup_mode=None, add_completion=False, no_args_is_help=True, help="Requests for refills: list or see to them."
)
replenishments.command()(approve)
replenishments.command()(reject)
replenishments.command()(cancel)
replenishments.command()(request)


@replenishments.command("list")
def list_replenishments(
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="Of this mode only.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those from which money may still come.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="How many to list.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the requests for refills and what became of them, newest first."""
    import asyncio

    found = asyncio.run(_load(config, limit, mode, open_only=open_only))
    if as_json:
        import json

        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    _print_table(found)


@replenishments.command()
def show(
    replenishment_id: Annotated[str, typer.Argument(metavar="ID", help="The request's id, or the beginning of it.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show one request and each of its changes."""
    import asyncio
    import json

    record, changes = asyncio.run(_load_one(config, replenishment_id))
    if as_json:
        told = {
            "replenishment": record.model_dump(mode="json"),
            "changes": [each.model_dump(mode="json") for each in changes],
        }
        typer.echo(json.dumps(told, indent=2))
        return
    _print_record(record, changes)


async def _load(config: "Path", limit: int, mode: str | None, *, open_only: bool) -> "Sequence[Replenishment]":
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.reserve.replenishment_states import OPEN
    from reservd.store.replenishments import load_replenishments

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        return await load_replenishments(connection, limit, mode, OPEN if open_only else None)


async def _load_one(config: "Path", replenishment_id: str) -> "tuple[Replenishment, Sequence[ReplenishmentEvent]]":
    from reservd.cli.find_replenishment import find_replenishment
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.replenishments import load_changes

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        record = await find_replenishment(connection, replenishment_id)
        return record, await load_changes(connection, record.id)


def _print_table(found: "Sequence[Replenishment]") -> None:
    from reservd.cli.event_view import LEAST_WIDTH, show_time
    from reservd.cli.table import make_console, make_table, visible

    if not found:
        typer.echo("no replenishments")
        return
    table = make_table("Time", "Mode", "State", "Urgency")
    for heading in ("Amount", "Arrived"):
        table.add_column(heading, justify="right")
    table.add_column("ID", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for each in found:
        request, state = each.request, f"{each.state}, unapproved" if each.held_back else each.state
        amounts = (f"{request.amount:f} {request.currency}", f"{each.arrived:f}")
        cells = (show_time(request.requested_at), request.strategy_mode, state, request.urgency)
        table.add_row(*map(visible, (*cells, *amounts, each.id[:8], each.detail or request.reason)))
    make_console(LEAST_WIDTH).print(table)


def _print_record(record: "Replenishment", changes: "Sequence[ReplenishmentEvent]") -> None:
    from reservd.cli.event_view import show_time
    from reservd.cli.table import make_console, make_table, visible

    request = record.request
    lines = {
        "id": record.id,
        "mode": request.strategy_mode,
        "state": f"{record.state}, waits for approval" if record.held_back else record.state,
        "amount": f"{request.amount:f} {request.currency}",
        "arrived": f"{record.arrived:f} {request.currency}",
        "urgency": request.urgency,
        "deadline": show_time(record.deadline),
        "incident": request.incident_id,
        "withdrawal": request.withdrawal_id,
        "replaces": request.replaces,
        "replaced by": record.replaced_by,
        "reference": record.reference,
        "approved by": record.approved_by,
        "asked by": record.asked_by,
        "why": request.reason,
    }
    console = make_console()
    for name, value in lines.items():
        if value:
            console.print(visible(f"{name + ':':<13}{value}"), soft_wrap=True)
    table = make_table("Time", "State", "By")
    table.add_column("Why", overflow="fold")
    for each in changes:
        table.add_row(*map(visible, (show_time(each.timestamp), each.state, each.by or "reservd", each.detail)))
    console.print(table)
