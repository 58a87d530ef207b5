"""Picks up operators' orders from the store, carries them out in order, and stores the outcome."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from reservd.errors import OwnershipLostError, RefillRefusedError, ReservdError, StoreError
from reservd.log import DefectLog
from reservd.monitor.clock import Clock
from reservd.reserve.amounts import ZERO
from reservd.reserve.replenishment import Inaction
from reservd.service.replenishment import ReplenishmentService
from reservd.service.withdrawals import WithdrawalManager
from reservd.store.database import Database
from reservd.store.orders import Order, OrderAction, OrderSubject, answer_order, load_waiting_orders
from reservd.store.ownership import Ownership

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_MAX_A_LOOK = 100

CarryOut = Callable[[Order], Awaitable[None]]
"""Carries out an order. Raises the reason if it is refused, or a `StoreError` if it may succeed later."""


class OrderClerk:
    """Processes the orders about one subject, so that an order that waits for a strategy delays none about another.

    An order is answered after it was carried out. If the daemon dies in between, the next owner carries it out again,
    which changes nothing.

    Args:
        subject: What the orders are about.
        carry_out: Carries out an order.
        database: The store.
        ownership: Held by this daemon.
        may_act: Returns whether changes can be stored.
        clock: The clock.
    """

    def __init__(
        self,
        subject: OrderSubject,
        carry_out: CarryOut,
        database: Database,
        ownership: Ownership,
        may_act: Callable[[], bool],
        clock: Clock,
    ) -> None:
        self._subject = subject
        self._carry_out = carry_out
        self._database = database
        self._ownership = ownership
        self._may_act = may_act
        self._clock = clock
        self._defects = DefectLog("orders.broke")

    async def run(self) -> None:
        """Process orders until cancelled.

        Raises:
            OwnershipLostError: If another daemon owns the store.
        """
        while True:
            try:
                if self._may_act():
                    await self.look()
            except StoreError as error:
                log.debug("orders.not_seen_to", subject=str(self._subject), error=str(error))  # the journal logs it
            except OwnershipLostError:
                raise
            except Exception as error:  # noqa: BLE001  # logged: a damaged row must not end the watch
                self._defects.tell(error, subject=str(self._subject))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Process the waiting orders.

        Raises:
            StoreError: If the store cannot be read or written. The waiting orders are processed later.
            OwnershipLostError: If another daemon owns the store.
        """
        async with self._database.read() as connection:
            waiting = await load_waiting_orders(connection, self._subject, _MAX_A_LOOK)
        for order in waiting:
            refusal = await self._see_to(order)
            async with self._database.write() as connection:
                await self._ownership.fence(connection)
                await answer_order(connection, order.id, self._clock.now().wall, refusal)

    async def _see_to(self, order: Order) -> str | None:
        """Carry out an order. Return the reason if it is refused; otherwise None."""
        told = {"subject": str(order.subject), "action": str(order.action), "target": order.target}
        try:
            await self._carry_out(order)
        except (StoreError, OwnershipLostError):
            raise
        except (ReservdError, ValueError) as error:
            log.warning("order.refused", **told, by=order.asked_by, why=str(error))
            return str(error)
        except Exception as error:  # noqa: BLE001  # logged: else it would be retried, and end the daemon, for ever
            self._defects.tell(error, **told)
            return f"a bug in reservd ({type(error).__name__}): the log of the daemon has more"
        log.info("order.carried_out", **told, by=order.asked_by)
        return None


def replenishment_orders(service: ReplenishmentService) -> CarryOut:
    """Return the function that carries out orders about requests for refills."""
    desk = service.desk
    seen_to: dict[str, Callable[..., Awaitable[object]]] = {
        OrderAction.APPROVE: desk.approve,
        OrderAction.REJECT: desk.reject,
        OrderAction.CANCEL: desk.cancel,
    }

    async def carry_out(order: Order) -> None:
        if order.action is OrderAction.REQUEST:
            await _request(service, order)
        elif order.action in seen_to:
            await seen_to[order.action](order.target, by=order.asked_by, reason=order.reason)
        else:
            raise ValueError(f"a refill cannot be ordered to {order.action}")

    return carry_out


def withdrawal_orders(manager: WithdrawalManager) -> CarryOut:
    """Return the function that carries out orders about withdrawals."""

    async def carry_out(order: Order) -> None:
        match order.action:
            case OrderAction.PAYING:
                await manager.mark_paying(order.target)
            case OrderAction.SETTLE:
                await manager.settle(order.target, block=order.block, paid_at=order.paid_at)
            case OrderAction.CANCEL:
                await manager.cancel(order.target)
            case _:
                raise ValueError(f"a withdrawal cannot be ordered to {order.action}")

    return carry_out


async def _request(service: ReplenishmentService, order: Order) -> None:
    asked = {"request_id": order.id, "asked_by": order.asked_by, "reason": order.reason}
    outcome = await service.request(order.target, order.amount or ZERO, **asked)
    if outcome.reason == Inaction.STORE_GONE:
        raise StoreError("replenishments cannot be stored now")
    if outcome.request is None:
        raise RefillRefusedError(f"no refill was requested: {outcome.reason}")
