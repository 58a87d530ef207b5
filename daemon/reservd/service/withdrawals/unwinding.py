"""Requests that strategies unwind what the reserve does not pay of a withdrawal, and follows the requests."""

import asyncio

import structlog

from reservd.errors import StoreError, UnknownReplenishmentError
from reservd.monitor.manager import ReserveManager
from reservd.reserve.holds import Hold, Unwinding
from reservd.reserve.holds.unwinding import follow_request, leave_unasked
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.withdrawals.desk import HoldDesk

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 30.0
_AT_ONCE = 8


class Unwinder:
    """Makes one request for each hold, under the hold's id, so that a repetition is the same request.

    A hold follows the state of its request, whoever changed it. The request is polled, so that no change is missed.

    Args:
        reserve_manager: Has the replenishment service, if there is one.
        desk: Keeps the outcome.
        retry_seconds: How long to wait after no answer.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        self._retry_seconds = retry_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, hold: Hold) -> None:
        """Request what is missing for a hold, unless it is requested or about to be. Never waits."""
        config = self._reserve_manager.reserve_configs.get(hold.mode)
        asks_nobody = config is None or config.reserve_replenisher is None or config.share_class != hold.currency
        if asks_nobody or self._reserve_manager.replenishment is None or not _is_due(hold) or hold.id in self._tasks:
            return
        task = self._tasks[hold.id] = asyncio.create_task(self._ask(hold.id))
        task.add_done_callback(lambda _: self._tasks.pop(hold.id, None))

    async def follow(self) -> None:
        """Update each waiting hold from the state of its request."""
        desk = self._reserve_manager.replenishment
        if desk is None:
            return
        for hold in [each for each in self._desk.book.open_holds() if each.unwinding is Unwinding.ASKED]:
            if not hold.outstanding:
                continue
            try:
                record = await desk.desk.find(hold.id)
            except UnknownReplenishmentError:
                continue
            except StoreError:
                return
            self._follow(hold.id, record)

    async def idle(self) -> None:
        """Wait until no request is being made."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Stop requesting. What was cancelled is requested again, under its id, after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, hold_id: str) -> None:
        while True:
            async with self._turns:
                hold = self._desk.book.find(hold_id)
                desk = self._reserve_manager.replenishment
                if hold is None or desk is None or not _is_due(hold):
                    return
                outcome = await desk.request(hold.mode, hold.outstanding, withdrawal_id=hold.id)
                if outcome.acceptance is not None:
                    self._follow(hold.id, await desk.desk.find(hold.id))
                    return
                if outcome.reason == Inaction.DRY_RUN:
                    self._keep(hold, leave_unasked(hold))
                if outcome.reason in {Inaction.DRY_RUN, Inaction.NO_REPLENISHER}:
                    return
            await asyncio.sleep(self._retry_seconds)

    def _follow(self, hold_id: str, record: Replenishment) -> None:
        hold = self._desk.book.find(hold_id)
        if hold is not None:
            self._keep(hold, follow_request(hold, record))

    def _keep(self, before: Hold, after: Hold) -> None:
        """Keep a changed hold. If its request failed, log that and check the mode again."""
        if after == before:
            return
        self._desk.book.put(after)
        self._desk.note_changes()
        if after.unwinding in {Unwinding.REFUSED, Unwinding.FAILED}:
            log.error("withdrawal.not_unwound", mode=after.mode, id=after.id, unwinding=str(after.unwinding))
            self._reserve_manager.look_again(after.mode)


def _is_due(hold: Hold) -> bool:
    """Return whether the missing part has not been requested yet."""
    return hold.unwinding is Unwinding.DUE and bool(hold.outstanding)
