"""What refills must know of withdrawals: the money that they wait for, and the money that was paid out."""

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
    """What a refill decision must know of withdrawals, and of other modes that are paid from the same accounts."""

    def sharers(self, mode: str) -> Sequence[str]:
        """Return the modes that are paid from a mode's accounts, itself included."""

    def accounts(self, mode: str) -> str:
        """Return the name of the accounts that a mode is paid from."""

    def others(self, mode: str) -> Sequence[ReserveSnapshot]:
        """Return the snapshots of the other modes that share a mode's accounts, from its last check."""

    def believe(self, checked: Checked) -> None:
        """Record a check, before any decision is based on it."""

    def count_from(self, oldest: Callable[[], datetime | None]) -> None:
        """Remember payouts since the time that `oldest` returns; it returns None if nothing is counted."""

    def queued(self, mode: str) -> Decimal:
        """Return the amount that a mode's accepted withdrawals wait for."""

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return the part of it that is not known to have been requested from anybody, by withdrawal."""

    def is_called_off(self, record: Replenishment) -> bool:
        """Return whether a withdrawal's request, which its strategy has not taken, is no longer needed."""

    def reading(self, snapshot: ReserveSnapshot) -> GroupReading | None:
        """Return the total of the accounts in a mode's last check, its snapshot; None when part of it is unknown."""

    def believed(self, mode: str, good: ReserveSnapshot | None) -> GroupReading | None:
        """Return the last certain total of a mode's accounts; None when it is unknown.

        Args:
            mode: The mode.
            good: Its last snapshot that was conclusive and is not doubted; None when there is none.
        """

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return what was paid out of a mode's accounts between two readings."""


class NoCommitments:
    """There are no withdrawals, and no mode shares its accounts."""

    def sharers(self, mode: str) -> Sequence[str]:
        """Return only the mode."""
        return (mode,)

    def accounts(self, mode: str) -> str:
        """Return the mode, as its accounts are not known."""
        return mode

    def others(self, mode: str) -> Sequence[ReserveSnapshot]:
        """Return an empty sequence."""
        del mode
        return ()

    def believe(self, checked: Checked) -> None:
        """Do nothing."""

    def count_from(self, oldest: Callable[[], datetime | None]) -> None:
        """Do nothing: there are no payouts."""

    def queued(self, mode: str) -> Decimal:
        """Return 0."""
        del mode
        return ZERO

    def due(self, mode: str) -> Mapping[str, Decimal]:
        """Return an empty mapping."""
        del mode
        return {}

    def is_called_off(self, record: Replenishment) -> bool:
        """Return False, as nothing is known of its withdrawal."""
        del record
        return False

    def reading(self, snapshot: ReserveSnapshot) -> GroupReading | None:
        """Return the total of the snapshot."""
        total = accounts_total(snapshot)
        return None if total is None else GroupReading(total, snapshot.timestamp)

    def believed(self, mode: str, good: ReserveSnapshot | None) -> GroupReading | None:
        """Return the total of the snapshot."""
        del mode
        return None if good is None else self.reading(good)

    def paid_between(self, mode: str, before: GroupReading, after: GroupReading) -> Decimal:
        """Return 0."""
        del mode, before, after
        return ZERO
