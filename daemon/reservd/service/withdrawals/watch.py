"""Watches holds: reports overdue ones, and forgets those that ended long ago."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from reservd.monitor.clock import Clock
from reservd.monitor.manager import ReserveManager
from reservd.reserve.holds import Hold
from reservd.service.withdrawals.answers import WithdrawalObserver
from reservd.service.withdrawals.desk import HoldDesk, shown_for
from reservd.service.withdrawals.unwinding import Unwinder

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 5.0


class HoldWatch:
    """Runs beside the desk.

    Args:
        reserve_manager: Watches the modes.
        desk: Keeps the holds.
        unwinder: Requests what the reserve does not pay.
        observers: Notified of overdue holds.
        clock: The clock.
    """

    def __init__(
        self,
        reserve_manager: ReserveManager,
        desk: HoldDesk,
        unwinder: Unwinder,
        observers: Sequence[WithdrawalObserver],
        clock: Clock,
    ) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        self._unwinder = unwinder
        self._observers = observers
        self._clock = clock
        self._said: set[str] = set()

    def overdue(self) -> Sequence[Hold]:
        """Return the holds that should have ended by now."""
        now = self._clock.now().wall
        return [hold for hold in self._desk.book.open_holds() if hold.is_overdue(now)]

    async def run(self) -> None:
        """Look periodically until cancelled. An error in one look is logged and does not prevent the next."""
        while True:
            try:
                self.look()
                await self._unwinder.follow()
            except Exception:
                log.exception("withdrawals.not_looked_at")
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Report overdue holds, each once in the log, and request again what no strategy has taken."""
        self._desk.heed_clock()
        overdue = self.overdue()
        for hold in overdue:
            if hold.id not in self._said:
                log.error("withdrawal.overdue", mode=hold.mode, id=hold.id, state=str(hold.state))
        self._said = {hold.id for hold in overdue}
        for observer in self._observers:
            observer.overdue(Counter(hold.mode for hold in overdue))
        for hold in list(self._desk.book.open_holds()):
            if self._desk.is_kept(hold.id):
                self._unwinder.ask(hold)
        self._desk.forget(shown_for(self._reserve_manager.reserve_configs.values()))
