"""Hands an operator's order to the daemon that owns the store, and waits for the outcome."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Unpack

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal
    from pathlib import Path
    from typing import TypedDict

    from rich.table import Table

    from reservd.store.database import Database
    from reservd.store.orders import Order, OrderSubject

    class Details(TypedDict, total=False):
        """What only some orders say."""

        amount: Decimal
        block: int | None
        paid_at: datetime | None


_LOOK_SECONDS = 0.1
_MAX_REASON = 500

DEFAULT_WAIT = 10.0
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with your name.")]
WaitOption = Annotated[
    float,
    typer.Option("--wait", metavar="SECONDS", min=0, max=600, help="How long to wait for the daemon; 0 does not wait."),
]


class Instruction(NamedTuple):
    """What an operator gave on the command line.

    Attributes:
        action: What is to be done, the value of an `OrderAction`.
        target: With which: an id or the beginning of one, or a mode.
        reason: Why.
        wait_seconds: How long the owner of the store has; with 0 it is not waited for.
        config: The configuration, which names the store.
    """

    action: str
    target: str
    reason: str
    wait_seconds: float
    config: "Path"


async def give_order(
    database: "Database", subject: "OrderSubject", instruction: Instruction, **details: "Unpack[Details]"
) -> "Order":
    """Write an order down, and return it once the owner of the store has carried it out.

    Args:
        database: The store.
        subject: What it is about.
        instruction: What is to be done; its target in full. With 0 to wait it is returned as it was written down.
        details: What only some orders say.

    Raises:
        ReservdError: If the owner refuses, or nobody has seen to it in time.
        StoreError: If the store does not take it.
    """
    import uuid
    from datetime import UTC, datetime

    from reservd.cli.store import login_name, storable
    from reservd.errors import ReservdError
    from reservd.store.orders import Order, OrderAction, ask_order, find_order

    action, target, reason, wait_seconds, _ = instruction
    why = storable(reason.strip())[:_MAX_REASON]
    now = datetime.now(UTC)
    order = Order(str(uuid.uuid4()), subject, OrderAction(action), target, why, now, login_name(), **details)
    async with database.write() as connection:
        await ask_order(connection, order)
    deadline = asyncio.get_running_loop().time() + wait_seconds
    while wait_seconds:
        async with database.read() as connection:
            order = await find_order(connection, order.id) or order
        if order.refusal is not None:
            raise ReservdError(f"not done: {order.refusal}")
        if order.answered_at is not None:
            return order
        if asyncio.get_running_loop().time() >= deadline:
            raise ReservdError(
                f"no daemon answered within {wait_seconds:g} s: the request is stored, and the next daemon that owns "
                "the store will carry it out"
            )
        await asyncio.sleep(_LOOK_SECONDS)
    return order


def orders_table(orders: "Iterable[Order]") -> "Table":
    """Return what operators wanted, and what came of it, as a table."""
    from reservd.cli.event_view import show_time
    from reservd.cli.table import make_table, visible

    table = make_table("Ordered", "What", "By")
    table.add_column("Why", overflow="fold")
    table.add_column("Outcome", overflow="fold")
    for each in orders:
        cells = (show_time(each.asked_at), each.action, each.asked_by, each.reason or "-", show_outcome(each))
        table.add_row(*map(visible, cells))
    return table


def show_outcome(order: "Order") -> str:
    """Return what came of an order."""
    if order.answered_at is None:
        return "waiting for the daemon"
    return "done" if order.refusal is None else f"refused: {order.refusal}"


def plain_order(order: "Order") -> dict[str, Any]:
    """Return an order as JSON has it."""
    moments = ("asked_at", "paid_at", "answered_at")
    plain = order._asdict()
    plain |= {name: plain[name].isoformat() for name in moments if plain[name] is not None}
    return plain | {"amount": format(order.amount, "f") if order.amount is not None else None}
