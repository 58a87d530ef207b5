"""What withdrawals mean for refills: what waits for money, and what was paid out meanwhile."""

from decimal import Decimal
from typing import Protocol

from reservd.monitor.manager import ReserveManager
from reservd.reserve.amounts import ZERO, add
from reservd.reserve.holds import GroupReading, HoldState, is_shown
from reservd.service.hold_desk import HoldDesk


class Commitments(Protocol):
    """What a decision about a refill has to know of withdrawals."""

    def queued(self, mode: str) -> Decimal:
        """Return what accepted withdrawals of a mode wait for."""

    def reading(self, mode: str) -> GroupReading | None:
        """Return what the accounts of a mode held at the last check; None when that is not known."""

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what was paid out of a mode's accounts between two readings."""


class NoCommitments:
    """Nobody withdraws anything."""

    def queued(self, mode: str) -> Decimal:
        """Return 0."""
        del mode
        return ZERO

    def reading(self, mode: str) -> GroupReading | None:
        """Return None: the snapshot tells."""
        del mode
        return None

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return 0."""
        del mode, before, after
        return ZERO


class WithdrawalCommitments:
    """What the holds tell.

    Args:
        reserve_manager: Watches the modes.
        desk: Has the holds.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk

    def queued(self, mode: str) -> Decimal:
        """Return what accepted withdrawals of a mode wait for."""
        total = ZERO
        for hold in self._desk.book.waiting(self._reserve_manager.account_group(mode)):
            total = add(total, hold.outstanding)
        return total

    def reading(self, mode: str) -> GroupReading | None:
        """Return what the accounts of a mode held at the last check; None when that is not known."""
        standing = self._reserve_manager.standing(mode)
        return standing.reading if standing is not None else None

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what was paid out of a mode's accounts between two readings: in the one still, in the other not."""
        group, total = self._reserve_manager.account_group(mode), ZERO
        for hold in self._desk.book.holds():
            settled = hold.group == group and hold.state is HoldState.SETTLED
            if settled and is_shown(hold, before) and not is_shown(hold, after):
                total = add(total, hold.held)
        return total
