"""`reservd replenishments`."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, refuse_options
from reservd.cli.order_replenishment import approve, cancel, reject, request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reservd.reserve.replenishment.event import ReplenishmentEvent
    from reservd.reserve.replenishment.states import Replenishment
    from reservd.store.orders import Order

_MOST = 10_000


class _Found(NamedTuple):
    """One request for a refill.

    Attributes:
        record: As it is now.
        changes: What became of it.
        orders: What operators wanted done with it.
    """

    record: "Replenishment"
    changes: "Sequence[ReplenishmentEvent]"
    orders: "Sequence[Order]"


replenishments = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="List, request and decide on refills.\n\nWithout a command it lists, as `list` does.",
)


@replenishments.callback(invoke_without_command=True)
@replenishments.command("list")
def list_replenishments(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="Of this mode only.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that may still deliver money.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, metavar="NUMBER", help="How many to list.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the requests for refills, newest first.

    Arrived is what the reserve has seen of one.
    """
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
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
    """Show one request and what became of it.

    With each of its changes, and what operators wanted done with it.
    """
    import asyncio

    found = asyncio.run(_load_one(config, replenishment_id))
    if as_json:
        import json

        from reservd.cli.orders import plain_order
        from reservd.web.api.views import show_replenishment

        detail = show_replenishment(found.record, found.changes)
        whole = {**detail.model_dump(mode="json"), "orders": [plain_order(each) for each in found.orders]}
        typer.echo(json.dumps(whole, indent=2))
        return
    _print_one(found)


replenishments.command()(request)
replenishments.command()(approve)
replenishments.command()(reject)
replenishments.command()(cancel)


async def _load(config: "Path", limit: int, mode: str | None, *, open_only: bool) -> "Sequence[Replenishment]":
    from reservd.cli.modes import require_mode
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.reserve.replenishment.states import OPEN
    from reservd.store.replenishments import load_replenishments

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        found = await load_replenishments(connection, limit, mode, OPEN if open_only else None)
        known = bool(found) or mode is None or bool(await load_replenishments(connection, 1, mode))
    if not known and mode is not None:
        require_mode(config, mode, " and has no replenishments")
    return found


async def _load_one(config: "Path", replenishment_id: str) -> _Found:
    from reservd.cli.find_by_id import find_replenishment
    from reservd.cli.orders import show_outcome
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.errors import ReservdError
    from reservd.store.orders import OrderAction, OrderSubject, find_order, load_orders_about
    from reservd.store.replenishments import load_changes

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        try:
            record = await find_replenishment(connection, replenishment_id)
        except ReservdError:
            # A refill that was asked for by hand, and of which nothing has come.
            order = await find_order(connection, replenishment_id) if replenishment_id else None
            if order is None or order.action is not OrderAction.REQUEST:
                raise
            asked = f"replenishment {order.id} of {order.target}, asked for by {order.asked_by}"
            raise ReservdError(f"{asked}: {show_outcome(order)}") from None
        orders = await load_orders_about(connection, OrderSubject.REPLENISHMENT, record.id)
        return _Found(record, await load_changes(connection, record.id), orders)


def _print_table(found: "Sequence[Replenishment]") -> None:
    from reservd.cli.amounts import show_exact
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
        amounts = (f"{show_exact(request.amount)} {request.currency}", show_exact(each.arrived))
        cells = (show_time(request.requested_at), request.strategy_mode, state, request.urgency)
        table.add_row(*map(visible, (*cells, *amounts, each.id[:8], each.detail or request.reason)))
    make_console(LEAST_WIDTH).print(table)


def _print_one(found: _Found) -> None:
    from reservd.cli.amounts import show_exact
    from reservd.cli.event_view import show_time
    from reservd.cli.orders import orders_table
    from reservd.cli.table import make_console, make_table, visible

    record, request = found.record, found.record.request
    lines = {
        "id": record.id,
        "mode": request.strategy_mode,
        "state": f"{record.state}, waits for approval" if record.held_back else record.state,
        "amount": f"{show_exact(request.amount)} {request.currency}",
        "arrived": f"{show_exact(record.arrived)} {request.currency}",
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
    for each in found.changes:
        table.add_row(*map(visible, (show_time(each.timestamp), each.state, each.by or "reservd", each.detail)))
    console.print("", table, sep="\n")
    if found.orders:
        console.print("", orders_table(found.orders), sep="\n")
