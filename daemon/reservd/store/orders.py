"""Operators' orders for the owner to process, and their outcomes."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from reservd.store.tables import orders


class OrderSubject(StrEnum):
    """The subject of an order. A withdrawal and the request for its part to unwind share one id."""

    REPLENISHMENT = "replenishment"
    WITHDRAWAL = "withdrawal"


class OrderAction(StrEnum):
    """The actions that an operator can order."""

    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    REQUEST = "request"
    PAYING = "paying"
    SETTLE = "settle"


_ACTIONS = {str(action): action for action in OrderAction}


class Order(NamedTuple):
    """An operator's order for the owner to process. It is kept with its outcome."""

    id: str
    """For a new request for a refill, its id: carried out twice, it is one request."""
    subject: OrderSubject
    action: OrderAction | str
    """Any other text is from another version of reservd."""
    target: str
    """An id; for a new request for a refill, the mode."""
    reason: str
    asked_at: datetime
    asked_by: str
    amount: Decimal | None = None
    """The amount of a new request for a refill."""
    block: int | None = None
    """The block of a payment."""
    paid_at: datetime | None = None
    """When a payment took effect."""
    answered_at: datetime | None = None
    """When the owner answered it; None while it waits."""
    refusal: str | None = None
    """Why it was refused; None when it was carried out."""


async def ask_order(connection: AsyncConnection, order: Order) -> None:
    """Store an order."""
    # The databases' drivers do not support enumerations.
    texts = {"subject": str(order.subject), "action": str(order.action)}
    await connection.execute(insert(orders), [order._asdict() | texts])


async def load_waiting_orders(connection: AsyncConnection, subject: OrderSubject, limit: int) -> list[Order]:
    """Return the orders that the owner has not processed yet, in order."""
    waits = (orders.c.answered_at.is_(None), orders.c.subject == str(subject))
    return await _load(connection, select(orders).where(*waits).limit(limit))


async def find_order(connection: AsyncConnection, order_id: str) -> Order | None:
    """Return the first order whose id starts with the given one; None when there is none."""
    begins = func.substr(orders.c.id, 1, len(order_id)) == order_id
    found = await _load(connection, select(orders).where(begins).limit(1))
    return found[0] if found else None


async def load_orders_about(connection: AsyncConnection, subject: OrderSubject, target: str) -> list[Order]:
    """Return the orders about one withdrawal or request for a refill, in order."""
    about = (orders.c.target == target, orders.c.subject == str(subject))
    return await _load(connection, select(orders).where(*about))


async def answer_order(connection: AsyncConnection, order_id: str, at: datetime, refusal: str | None) -> None:
    """Store that an order was carried out, or why it was refused."""
    await connection.execute(update(orders).where(orders.c.id == order_id).values(answered_at=at, refusal=refusal))


async def prune_orders(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Remove up to `limit` of the orders that were answered before a time. Return how many were removed."""
    old = select(orders.c.id).where(orders.c.answered_at < before).order_by(orders.c.answered_at).limit(limit)
    ids: Collection[str] = list(await connection.scalars(old))
    if ids:
        await connection.execute(delete(orders).where(orders.c.id.in_(ids)))
    return len(ids)


async def _load(connection: AsyncConnection, wanted: Select[Any]) -> list[Order]:
    rows = await connection.execute(wanted.order_by(orders.c.asked_at, orders.c.id))
    return [
        Order(*row)._replace(subject=OrderSubject(row.subject), action=_ACTIONS.get(row.action, row.action))
        for row in rows
    ]
