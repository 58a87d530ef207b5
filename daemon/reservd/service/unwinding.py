"""Asks strategies for what the reserve does not pay of a withdrawal."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import structlog

from reservd.monitor.manager import ReserveManager
from reservd.reserve.holds import Hold, Unwinding
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus, Inaction
from reservd.service.hold_desk import HoldDesk

log = structlog.get_logger(__name__)

_RETRY_SECONDS = 30.0
_AT_ONCE = 8


class Unwinder:
    """Asks once for each hold, under the hold's own id: asked again after a failure or a restart, it is the same.

    Args:
        reserve_manager: Has the replenishers, where there are any.
        desk: Keeps what came of it.
        retry_seconds: How long to wait after no answer.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk, retry_seconds: float = _RETRY_SECONDS) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        self._retry_seconds = retry_seconds
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def ask(self, hold: Hold) -> None:
        """Ask for what a hold lacks, unless that is done or under way. Never waits."""
        config = self._reserve_manager.reserve_configs.get(hold.mode)
        asks_nobody = (
            config is None or config.reserve_replenisher is None or self._reserve_manager.replenishment is None
        )
        if asks_nobody or hold.unwinding is not Unwinding.DUE or hold.id in self._tasks:
            return
        task = self._tasks[hold.id] = asyncio.create_task(self._ask(hold.id))
        task.add_done_callback(lambda _: self._tasks.pop(hold.id, None))

    async def idle(self) -> None:
        """Wait until nothing is being asked."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Stop asking. What was cut off is asked for again, under its id, after the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, hold_id: str) -> None:
        while True:
            async with self._turns:
                hold = self._desk.book.find(hold_id)
                desk = self._reserve_manager.replenishment
                if hold is None or not hold.open or hold.unwinding is not Unwinding.DUE or desk is None:
                    return
                outcome = await desk.request(hold.mode, hold.unwound, withdrawal_id=hold.id)
                if outcome.acceptance is not None:
                    self._note(hold_id, outcome.acceptance)
                    return
                if outcome.reason == Inaction.NO_REPLENISHER:
                    return
            await asyncio.sleep(self._retry_seconds)

    def _note(self, hold_id: str, acceptance: Acceptance) -> None:
        hold = self._desk.book.find(hold_id)
        if hold is None:
            return
        rejected = acceptance.status is AcceptanceStatus.REJECTED
        if rejected:
            log.error("withdrawal.not_unwound", mode=hold.mode, id=hold.id, reason=acceptance.reason)
        elif acceptance.expected_by is not None:
            late = max(timedelta(), acceptance.expected_by - (hold.expected_at or acceptance.expected_by))
            hold = replace(hold, expected_at=acceptance.expected_by, overdue_at=hold.overdue_at + late)
        self._desk.book.put(replace(hold, unwinding=Unwinding.REFUSED if rejected else Unwinding.ASKED))
        self._desk.note_changes()
