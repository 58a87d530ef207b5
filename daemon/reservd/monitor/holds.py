"""What checks need to know about the holds of accepted withdrawals."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from reservd.errors import CallError
from reservd.reserve.amounts import ZERO
from reservd.reserve.readings import Balance, Equity


class Holds(Protocol):
    """What is promised to accepted withdrawals."""

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return what of these balances of a mode's accounts is promised."""

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return what of these balances, of all who share a mode's accounts, the mode itself promised."""

    def owed(self, mode: str, equity: Equity) -> Decimal:
        """Return what an equity that is not net of them still shows of a mode's accepted withdrawals."""

    def shows_paid(self, mode: str, balances: Sequence[Balance], equity: Equity | CallError) -> bool:
        """Return whether these readings still show what is paid: later ones of the same amounts mean more."""

    def regroup(self) -> None:
        """Hear that modes may share other accounts than before."""


def owed_of(mode: str, equity: Equity | CallError, holds: Holds | None) -> Decimal:
    """Return what an equity still shows of a mode's accepted withdrawals; 0 where there are none."""
    if holds is None or isinstance(equity, CallError) or equity.net_of_withdrawals:
        return ZERO
    return holds.owed(mode, equity)
