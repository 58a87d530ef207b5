"""What refills must know of withdrawals: what waits for money, and what has been paid out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from reservd.monitor.observer import Checked
from reservd.reserve.amounts import ZERO
from reservd.reserve.holds import GroupReading
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment.arrival import accounts_total
from reservd.reserve.replenishment.states import Replenishment


class Commitments(Protocol):
    """What a decision about a refill has to know of withdrawals, and of who else is paid from the same accounts."""

    def sharers(self, mode: str) -> Sequence[str]:
        """Return the modes that are paid from a mode's accounts, itself included."""

    def accounts(self, mode: str) -> str:
        """Return the name of the accounts that a mode is paid from."""

    def others(self, mode: str) -> Sequence[ReserveSnapshot]:
        """Return how those who share a mode's accounts stand by its last check, itself left out."""

    def believe(self, checked: Checked) -> None:
        """Note a check, before anything is decided on it."""

    def count_from(self, oldest: Callable[[], datetime | None]) -> None:
        """Remember payouts from the time that `oldest` returns; None where nothing is counted."""

    def queued(self, mode: str) -> Decimal:
        """Return what accepted withdrawals of a mode wait for."""

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return what of that nobody is known to have been asked for, by withdrawal."""

    def is_called_off(self, record: Replenishment) -> bool:
        """Return whether a withdrawal's own request, which its strategy has not taken, is for nobody any more."""

    def reading(self, snapshot: ReserveSnapshot) -> GroupReading | None:
        """Return what the accounts hold by a mode's last check, its snapshot; None when not all of it is known."""

    def believed(self, mode: str, good: ReserveSnapshot | None) -> GroupReading | None:
        """Return what a mode's accounts last held for certain; None when that is not known.

        Args:
            mode: The mode.
            good: Its last snapshot that was conclusive and is not doubted; None when there is none.
        """

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what was paid out of a mode's accounts between two readings."""


class NoCommitments:
    """Nobody withdraws anything, and each mode has its accounts to itself."""

    def sharers(self, mode: str) -> Sequence[str]:
        """Return the mode alone."""
        return (mode,)

    def accounts(self, mode: str) -> str:
        """Return the mode: which they are is not known."""
        return mode

    def others(self, mode: str) -> Sequence[ReserveSnapshot]:
        """Return nobody."""
        del mode
        return ()

    def believe(self, checked: Checked) -> None:
        """Nothing follows from it."""

    def count_from(self, oldest: Callable[[], datetime | None]) -> None:
        """There are no payouts."""

    def queued(self, mode: str) -> Decimal:
        """Return 0."""
        del mode
        return ZERO

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return nothing."""
        del mode
        return {}

    def is_called_off(self, record: Replenishment) -> bool:
        """Return no: of what it was made for nothing is known."""
        del record
        return False

    def reading(self, snapshot: ReserveSnapshot) -> GroupReading | None:
        """Return what the snapshot tells."""
        total = accounts_total(snapshot)
        return None if total is None else GroupReading(total, snapshot.timestamp)

    def believed(self, mode: str, good: ReserveSnapshot | None) -> GroupReading | None:
        """Return what the snapshot tells."""
        del mode
        return None if good is None else self.reading(good)

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return 0."""
        del mode, before, after
        return ZERO
