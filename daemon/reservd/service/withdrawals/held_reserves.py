"""Connects holds and monitor: snapshots subtract holds, and readings show what has arrived for them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import structlog

from reservd.errors import CallError
from reservd.monitor.manager import ReserveManager
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.amounts import ZERO
from reservd.reserve.holds import GroupReading, Hold, read_group
from reservd.reserve.holds.places import Accounts
from reservd.reserve.identity import AccountKey
from reservd.reserve.readings import Balance, Equity
from reservd.service.withdrawals.desk import HoldDesk

log = structlog.get_logger(__name__)

_NOTHING_READ = GroupReading(ZERO, datetime.max.replace(tzinfo=UTC))


class HeldReserves(Observer):
    """Tells the monitor how much of the reserves is promised, and holds money that has arrived.

    Args:
        reserve_manager: Watches the modes.
        desk: Keeps the holds.
    """

    def __init__(self, reserve_manager: ReserveManager, desk: HoldDesk) -> None:
        self._reserve_manager = reserve_manager
        self._desk = desk
        desk.group_by(self)

    def regroup(self) -> None:
        """Regroup the holds, because modes may be paid from different accounts than before."""
        self._desk.book.regroup()

    def group_of(self, hold: Hold) -> str | None:
        """Return the accounts that a hold's mode is paid from in the hold's currency; None if it no longer is."""
        config = self._reserve_manager.reserve_configs.get(hold.mode)
        if config is None or config.share_class != hold.currency:
            return None
        return self._reserve_manager.account_group(hold.mode)

    def accounts_of(self, mode: str) -> Accounts:
        """Return the accounts in a mode's group."""
        return self._reserve_manager.group_accounts(mode)

    def groups_with(self, accounts: Iterable[AccountKey]) -> tuple[str, ...]:
        """Return the groups that contain any of these accounts."""
        modes = self._reserve_manager.modes_with(accounts)
        return tuple(dict.fromkeys(map(self._reserve_manager.account_group, modes)))

    def look_again(self, hold: Hold) -> None:
        """Check the modes again whose reserves a hold reduces."""
        accounts = () if self.group_of(hold) is not None else self._desk.book.places.accounts(hold)
        for mode in (hold.mode, *self._reserve_manager.modes_with(accounts)):
            self._reserve_manager.look_again(mode)

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return what of these balances of a mode's accounts is promised to accepted withdrawals."""
        group, totals = self._reserve_manager.account_group(mode), self._desk.book.totals
        # Each check asks, of thousands of modes, and few of them have promised anything.
        return totals.held(group, read_group(balances) or _NOTHING_READ) if totals.knows(group) else ZERO

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return how much of these balances of a mode's accounts the mode itself promised to accepted withdrawals."""
        group = self._reserve_manager.account_group(mode)
        return self._desk.book.totals.held_by(group, mode, read_group(balances) or _NOTHING_READ)

    def owed(self, mode: str, equity: Equity) -> Decimal:
        """Return what an equity that is not net of them still shows of accepted withdrawals."""
        return self._desk.book.totals.owed(mode, equity.observed_at)

    def means_more_later(self, mode: str, balances: Sequence[Balance], equity: Equity | CallError) -> bool:
        """Return whether these readings include money that has been paid out, or may miss what arrived beside it."""
        group, reading = self._reserve_manager.account_group(mode), read_group(balances)
        totals = self._desk.book.totals
        if reading is not None and (totals.paid_of(group, reading) or totals.has_late(group)):
            return True
        return isinstance(equity, Equity) and bool(totals.paid_by(mode, equity.observed_at))

    def checked(self, checked: Checked) -> None:
        """Hold arrived money for waiting withdrawals, once a reading is believed. Idempotent for the same check."""
        if not checked.step.actionable or checked.snapshot.reserve_balance is None:
            return
        group = self._reserve_manager.account_group(checked.mode)
        if self._desk.book.totals.last_waiting(group) is not None:
            self._believe(group, checked.mode)
        if self._desk.book.changed:
            self._desk.note_changes()

    def _believe(self, group: str, mode: str) -> None:
        standing = self._reserve_manager.standing(mode)
        if standing is None or standing.reading is None:
            return
        for hold in self._desk.book.believe(group, standing.reading):
            log.info("hold.arrived", mode=hold.mode, id=hold.id, outstanding=str(hold.outstanding))
