"""Operators' orders, on SQLite and on PostgreSQL: executed in order, answered once, never lost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd.errors import OwnershipLostError, StoreError
from reservd.monitor.clock import SystemClock
from reservd.reserve.holds import HoldState
from reservd.reserve.replenishment.states import ReplenishmentState
from reservd.service.orders import CarryOut, OrderClerk, replenishment_orders, withdrawal_orders
from reservd.store.database import Database
from reservd.store.orders import (
    Order,
    OrderAction,
    OrderSubject,
    ask_order,
    find_order,
    load_waiting_orders,
    prune_orders,
)
from reservd.store.ownership import Ownership
from support.bank import Bank
from support.polling import until
from support.refills import Refinery

NOW = datetime.now(UTC)
REPLENISHMENT, WITHDRAWAL = OrderSubject


def clerk_of(
    database: Database, ownership: Ownership, subject: OrderSubject, carry_out: CarryOut, *, may_act: bool = True
) -> OrderClerk:
    return OrderClerk(subject, carry_out, database, ownership, lambda: may_act, SystemClock())


class Orders:
    """Stores operators' orders, in order, and reads their results."""

    def __init__(self, database: Database, subject: OrderSubject) -> None:
        self._database = database
        self._subject = subject
        self._number = 0

    async def give(self, action: OrderAction, target: str, order_id: str = "", **details: Any) -> str:
        """Store an order and return its id."""
        self._number += 1
        name = order_id or f"o-{self._number}"
        at = NOW + timedelta(seconds=self._number)
        async with self._database.write() as connection:
            await ask_order(connection, Order(name, self._subject, action, target, "because", at, "ann", **details))
        return name

    async def outcome(self, order_id: str) -> tuple[bool, str | None]:
        """Return whether an order was answered, and the reason if it was refused."""
        async with self._database.read() as connection:
            order = await find_order(connection, order_id)
        assert order is not None
        return order.answered_at is not None, order.refusal

    async def waiting(self) -> list[str]:
        """Return the ids of the pending orders."""
        async with self._database.read() as connection:
            return [each.id for each in await load_waiting_orders(connection, self._subject, 100)]


async def test_requests_are_approved_and_cancelled(database: Database) -> None:
    async with Refinery(database, reserve_refill_approval_above=50) as shop:
        clerk = clerk_of(database, shop.ownership, REPLENISHMENT, replenishment_orders(shop.service))
        orders = Orders(database, REPLENISHMENT)
        await shop.check(20)
        await until(lambda: shop.ops.states, "the request")
        target = shop.ops.changes[0].data.replenishment_id
        approved = await orders.give(OrderAction.APPROVE, target)
        unknown = await orders.give(OrderAction.REJECT, "nobody")
        await clerk.look()
        await shop.service.idle()
        assert shop.asked == [target]
        assert (await shop.service.desk.find(target)).approved_by == "ann"
        assert await orders.outcome(approved) == (True, None)
        assert await orders.outcome(unknown) == (True, "there is no replenishment nobody")
        await orders.give(OrderAction.CANCEL, target)
        await clerk.look()
        assert (await shop.service.desk.find(target)).state is ReplenishmentState.CANCELLED
        assert await orders.waiting() == []


async def test_refill_is_requested_by_hand_under_the_orders_id_and_not_beside_one_in_flight(database: Database) -> None:
    async with Refinery(database) as shop:
        clerk = clerk_of(database, shop.ownership, REPLENISHMENT, replenishment_orders(shop.service))
        orders = Orders(database, REPLENISHMENT)
        await shop.check(110)
        first = await orders.give(OrderAction.REQUEST, "m", amount=Decimal(12))
        second = await orders.give(OrderAction.REQUEST, "m", amount=Decimal(13))
        await clerk.look()
        (request,) = shop.replenisher.asked
        assert (request.id, request.amount, request.reason) == (first, 12, "because")
        assert await orders.outcome(first) == (True, None)
        assert await orders.outcome(second) == (True, "no refill was requested: in_flight")


async def test_withdrawal_is_marked_settled_and_cancelled(database: Database) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        clerk = clerk_of(database, bank.ownership, WITHDRAWAL, withdrawal_orders(bank.withdrawals))
        orders = Orders(database, WITHDRAWAL)
        paid, dropped = (await bank.ask(20)).hold, (await bank.ask(10)).hold
        assert paid is not None
        assert dropped is not None
        await orders.give(OrderAction.PAYING, paid.id)
        await clerk.look()
        assert (await bank.withdrawals.find(paid.id)).state is HoldState.PAYING
        paid_at = bank.clock.wall
        await orders.give(OrderAction.SETTLE, paid.id, paid_at=paid_at)
        await orders.give(OrderAction.CANCEL, dropped.id)
        late = await orders.give(OrderAction.CANCEL, paid.id)
        wrong = await orders.give(OrderAction.APPROVE, paid.id)
        await clerk.look()
        settled = await bank.withdrawals.find(paid.id)
        assert (settled.state, settled.paid_at) == (HoldState.SETTLED, paid_at)
        assert (await bank.withdrawals.find(dropped.id)).state is HoldState.CANCELLED
        refusal = f"withdrawal {paid.id} must be open to be cancelled, is settled"
        assert await orders.outcome(late) == (True, refusal)
        assert await orders.outcome(wrong) == (True, "a withdrawal cannot be ordered to approve")


async def test_order_is_carried_out_again_to_the_same_end_when_its_daemon_died_before_the_answer(
    database: Database,
) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        hold = (await bank.ask(20)).hold
        assert hold is not None
        orders = Orders(database, WITHDRAWAL)
        await orders.give(OrderAction.SETTLE, hold.id, block=7)
        done = await bank.withdrawals.settle(hold.id, block=7)
        await clerk_of(database, bank.ownership, WITHDRAWAL, withdrawal_orders(bank.withdrawals)).look()
        assert await orders.outcome("o-1") == (True, None)
        assert await bank.withdrawals.find(hold.id) == done


async def test_order_of_another_version_is_refused_and_holds_up_no_other(database: Database) -> None:
    async with Refinery(database) as shop:
        orders = Orders(database, REPLENISHMENT)
        strange = await orders.give("postpone", "r-1")  # type: ignore[arg-type]
        wrong = await orders.give(OrderAction.CANCEL, "r-1")
        await clerk_of(database, shop.ownership, REPLENISHMENT, replenishment_orders(shop.service)).look()
        assert await orders.outcome(strange) == (True, "a refill cannot be ordered to postpone")
        assert await orders.outcome(wrong) == (True, "there is no replenishment r-1")


async def test_order_that_a_defect_ends_is_refused_and_not_tried_for_ever(database: Database) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        orders, seen = Orders(database, WITHDRAWAL), []

        async def breaks(order: Order) -> None:
            seen.append(order.id)
            if order.id == "o-1":
                raise LookupError("what must not be told")

        broken = await orders.give(OrderAction.CANCEL, "w-1")
        good = await orders.give(OrderAction.CANCEL, "w-2")
        clerk = clerk_of(database, bank.ownership, WITHDRAWAL, breaks)
        for _ in range(2):
            await clerk.look()
        assert seen == [broken, good]
        assert await orders.outcome(good) == (True, None)
        said = "a bug in reservd (LookupError): the log of the daemon has more"
        assert await orders.outcome(broken) == (True, said)


async def test_order_waits_when_what_is_done_cannot_be_kept(database: Database) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        orders, seen = Orders(database, WITHDRAWAL), []

        async def fails(order: Order) -> None:
            seen.append(order.id)
            raise StoreError("gone")

        await orders.give(OrderAction.CANCEL, "w-1")
        await orders.give(OrderAction.CANCEL, "w-2")
        for _ in range(2):
            with pytest.raises(StoreError):
                await clerk_of(database, bank.ownership, WITHDRAWAL, fails).look()
        assert seen == ["o-1", "o-1"]
        assert await orders.waiting() == ["o-1", "o-2"]


async def test_former_owner_answers_nothing(database: Database) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        former = Ownership(database)
        former.epoch = bank.ownership.epoch - 1
        orders = Orders(database, WITHDRAWAL)
        await orders.give(OrderAction.CANCEL, "nobody")
        with pytest.raises(OwnershipLostError):
            await clerk_of(database, former, WITHDRAWAL, withdrawal_orders(bank.withdrawals)).look()
        assert await orders.waiting() == ["o-1"]


async def test_old_orders_go_and_what_waits_stays(database: Database) -> None:
    async with Bank(110, database) as bank:
        assert bank.ownership is not None
        orders = Orders(database, WITHDRAWAL)
        await orders.give(OrderAction.CANCEL, "nobody")
        await clerk_of(database, bank.ownership, WITHDRAWAL, withdrawal_orders(bank.withdrawals)).look()
        await orders.give(OrderAction.CANCEL, "nobody")
        hence = datetime.now(UTC) + timedelta(days=1)
        async with database.write() as connection:
            assert await prune_orders(connection, NOW - timedelta(days=1), 10) == 0
            assert await prune_orders(connection, hence, 10) == 1
        async with database.read() as connection:
            assert await find_order(connection, "o-1") is None
        assert await orders.waiting() == ["o-2"]
