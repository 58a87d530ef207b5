"""Reads from the holds what refill decisions must know of withdrawals."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from reservd.monitor.manager import ReserveManager
from reservd.monitor.observer import Checked
from reservd.reserve.amounts import add
from reservd.reserve.holds import GroupReading
from reservd.reserve.holds.unwinding import is_called_off
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment.arrival import accounts_total
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.withdrawals.desk import HoldDesk
from reservd.service.withdrawals.held_reserves import HeldReserves


class WithdrawalCommitments:
    """The `Commitments` of withdrawals to refills, read from the holds.

    Args:
        reserve_manager: Watches the modes.
        desk: Keeps the holds.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        self._held = HeldReserves(reserve_manager, desk)

    def sharers(self, mode: str) -> Sequence[str]:
        """Return the modes that are paid from a mode's accounts, itself included."""
        return self._reserve_manager.account_sharers(mode)

    def accounts(self, mode: str) -> str:
        """Return the name of the accounts that a mode is paid from."""
        return self._reserve_manager.account_group(mode)

    def others(self, mode: str) -> Sequence[ReserveSnapshot]:
        """Return the snapshots of the other modes that share a mode's accounts, from its last check."""
        return self._reserve_manager.others_sharing(mode)

    def believe(self, checked: Checked) -> None:
        """Hold money that has arrived for waiting withdrawals, so that it is not requested once more."""
        self._held.checked(checked)

    def count_from(self, oldest: Callable[[], datetime | None]) -> None:
        """Remember payouts since the time that `oldest` returns, including those that no reading contains any more."""
        self._desk.counted_from = oldest

    def queued(self, mode: str) -> Decimal:
        """Return the amount that a mode's accepted withdrawals wait for."""
        return self._desk.book.totals.queued(mode)

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return the part of it that is not known to have been requested from anybody, by withdrawal."""
        return self._desk.book.totals.due(mode)

    def is_called_off(self, record: Replenishment) -> bool:
        """Return whether a withdrawal's request, which its strategy has not taken, is no longer needed."""
        withdrawal_id, book = record.request.withdrawal_id, self._desk.book
        if withdrawal_id is None or not self._desk.is_kept(withdrawal_id) or book.places.is_unreadable(withdrawal_id):
            return False
        return is_called_off(record, book.find(withdrawal_id))

    def reading(self, snapshot: ReserveSnapshot) -> GroupReading | None:
        """Return the total of the accounts in a mode's last check, for all modes that share them."""
        if accounts_total(snapshot) is None:
            return None
        standing = self._reserve_manager.standing(snapshot.strategy_mode)
        return standing.reading if standing is not None else None

    def believed(self, mode: str, good: ReserveSnapshot | None) -> GroupReading | None:
        """Return the last certain total of a mode's accounts, for all modes that share them."""
        del good
        return self._reserve_manager.believed_reading(mode)

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return the amount paid out of a mode's accounts between two readings, by any mode that shares them."""
        total = self._desk.book.paid_apart(self.accounts(mode), before, after)
        for sharer in self.sharers(mode):
            total = add(total, self._desk.book.totals.paid_between(sharer, before, after))
        return total
