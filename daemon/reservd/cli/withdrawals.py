"""`reservd withdrawals`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, refuse_options
from reservd.cli.order_withdrawal import IdArgument, cancel, paying, settle
from reservd.cli.quote_withdrawal import quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

    from reservd.reserve.holds import Hold
    from reservd.reserve.holds.queue import QueuePlace
    from reservd.store.orders import Order

_MOST = 10_000
_LEAST_WIDTH = 134
"""Columns that the table needs."""

withdrawals = typer.Typer(
    rich_markup_mode=None,
    add_completion=False,
    help="List, show, quote and update withdrawals.\n\nWithout a command it lists, as `list` does.",
)


@withdrawals.callback(invoke_without_command=True)
@withdrawals.command("list")
def list_withdrawals(
    context: typer.Context,
    mode: Annotated[str | None, typer.Option("--mode", metavar="MODE", help="Of this mode only.")] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only those not yet paid.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, metavar="NUMBER", help="How many to list.")] = 20,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List the withdrawals that were accepted, newest first.

    Held is what is set aside for one; Awaited is what has yet to arrive for it. Queue is its place among those who
    wait for money on the same accounts, Expected when all of it should be there.
    """
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    import asyncio

    found, places = asyncio.run(_load(config, limit + 1, mode, open_only=open_only))
    if as_json:
        import json

        typer.echo(json.dumps([_plain(each, places) for each in found[:limit]], indent=2))
    else:
        _print_table(found[:limit], places)
    if len(found) > limit:
        typer.echo(f"there are more than {limit}: see --limit", err=True)


@withdrawals.command()
def show(withdrawal_id: IdArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show one withdrawal, and what operators ordered for it."""
    import asyncio

    hold, places, orders = asyncio.run(_load_one(config, withdrawal_id))
    if as_json:
        import json

        from reservd.cli.orders import plain_order

        whole = {**_plain(hold, places), "orders": [plain_order(each) for each in orders]}
        typer.echo(json.dumps(whole, indent=2))
    else:
        _print_one(hold, places.get(hold.id), orders)


withdrawals.command()(quote)
withdrawals.command()(paying)
withdrawals.command()(settle)
withdrawals.command()(cancel)


async def _load(
    config: "Path", limit: int, mode: str | None, *, open_only: bool
) -> "tuple[Sequence[Hold], Mapping[str, QueuePlace]]":
    from reservd.cli.modes import require_mode
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.reserve.holds import HoldState
    from reservd.store.holds import load_holds

    states = (HoldState.HELD, HoldState.PAYING) if open_only else None
    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        found = await load_holds(connection, mode, states, limit=limit)
        places = await _load_places(connection, found)
        known = bool(found) or mode is None or bool(await load_holds(connection, mode, limit=1))
    if not known and mode is not None:
        require_mode(config, mode, " and has no withdrawals")
    return found, places


async def _load_one(config: "Path", withdrawal_id: str) -> "tuple[Hold, Mapping[str, QueuePlace], Sequence[Order]]":
    from reservd.cli.find_by_id import find_withdrawal
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.orders import OrderSubject, load_orders_about

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        hold = await find_withdrawal(connection, withdrawal_id)
        places = await _load_places(connection, [hold])
        return hold, places, await load_orders_about(connection, OrderSubject.WITHDRAWAL, hold.id)


async def _load_places(connection: "AsyncConnection", holds: "Sequence[Hold]") -> "Mapping[str, QueuePlace]":
    """Return the places of all who wait where one of these does, by the ids of the holds."""
    from reservd.reserve.holds.queue import line_up
    from reservd.store.holds import load_waiting

    groups = {hold.group for hold in holds if hold.outstanding}
    waiting = await load_waiting(connection, groups) if groups else []
    queues = [line_up(hold for hold in waiting if hold.group == group) for group in groups]
    return {hold_id: place for queue in queues for hold_id, place in queue.items()}


def _plain(hold: "Hold", places: "Mapping[str, QueuePlace]") -> dict[str, Any]:
    """Return a withdrawal as the API tells it, with its key: whoever reads the store may see that."""
    from reservd.web.api.withdrawal_views import show_withdrawal

    return show_withdrawal(hold, places.get(hold.id)).model_dump(mode="json") | {"key": hold.key}


def _state(hold: "Hold") -> str:
    from datetime import UTC, datetime

    return f"{hold.state}, overdue" if hold.is_overdue(datetime.now(UTC)) else str(hold.state)


def _expected(hold: "Hold") -> str:
    """Return when what it waits for should be there; nothing when it waits for nothing."""
    from reservd.cli.event_view import show_time

    if not hold.outstanding:
        return ""
    return show_time(hold.expected_at) if hold.expected_at is not None else "not known"


def _print_table(found: "Sequence[Hold]", places: "Mapping[str, QueuePlace]") -> None:
    from reservd.cli.amounts import show_amount, show_needed
    from reservd.cli.event_view import show_time
    from reservd.cli.table import make_console, make_table, visible
    from reservd.reserve.amounts import ZERO

    if not found:
        typer.echo("no withdrawals")
        return
    table = make_table("Time", "Mode", "State", "Speed")
    for heading in ("Amount", "Held", "Awaited", "Queue"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("Expected", "Currency", "ID"):
        table.add_column(heading, no_wrap=True)
    for each in found:
        cells = (show_time(each.decided_at), each.mode, _state(each), each.speed)
        held = each.held if each.open else ZERO
        amounts = (show_needed(each.amount), show_amount(held), show_needed(each.outstanding))
        queue = str(places[each.id].place) if each.id in places else ""
        table.add_row(*map(visible, (*cells, *amounts, queue, _expected(each), each.currency, each.id[:8])))
    make_console(_LEAST_WIDTH).print(table)


def _print_one(hold: "Hold", place: "QueuePlace | None", orders: "Sequence[Order]") -> None:
    from reservd.cli.amounts import show_exact
    from reservd.cli.event_view import show_time
    from reservd.cli.orders import orders_table
    from reservd.cli.table import make_console, visible

    moments = {
        "decided": hold.decided_at,
        "overdue from": hold.overdue_at if hold.open else None,
        "ended": hold.ended_at,
        "paid": hold.paid_at,
    }
    lines = {
        "id": hold.id,
        "mode": hold.mode,
        "state": _state(hold),
        "amount": f"{show_exact(hold.amount)} {hold.currency}",
        "speed": hold.speed,
        "from reserve": f"{show_exact(hold.from_reserve)} {hold.currency}",
        "unwound": f"{show_exact(hold.unwound)} {hold.currency}, of which {show_exact(hold.arrived)} has arrived"
        if hold.unwound
        else None,
        "unwinding": hold.unwinding if hold.unwound else None,
        "queue": f"{place.place}, {show_exact(place.ahead)} {hold.currency} ahead" if place is not None else None,
        "expected": _expected(hold) or None,
        **{name: show_time(moment) if moment is not None else None for name, moment in moments.items()},
        "block": hold.block,
        "key": hold.key,
    }
    console = make_console()
    for name, value in lines.items():
        if value is not None:
            console.print(visible(f"{name + ':':<14}{value}"), soft_wrap=True)
    if orders:
        console.print("", orders_table(orders), sep="\n")
