"""The interface through which checks see the holds of accepted withdrawals."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

from reservd.errors import CallError
from reservd.reserve.amounts import ZERO
from reservd.reserve.readings import Balance, Equity


class Holds(Protocol):
    """The holds of accepted withdrawals."""

    def held(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return how much of these balances of a mode's accounts is held."""

    def held_by(self, mode: str, balances: Sequence[Balance]) -> Decimal:
        """Return how much of these balances, of all modes in its group, is held for the mode's own withdrawals."""

    def owed(self, mode: str, equity: Equity) -> Decimal:
        """Return the amount of a mode's accepted withdrawals that an equity, unless net of them, still includes."""

    def means_more_later(self, mode: str, balances: Sequence[Balance], equity: Equity | CallError) -> bool:
        """Return whether the same amounts tell more in a later reading, as while these still include what was paid."""

    def regroup(self) -> None:
        """Regroup the holds, because modes may share other accounts than before."""


def owed_of(mode: str, equity: Equity | CallError, holds: Holds | None) -> Decimal:
    """Return the amount of a mode's accepted withdrawals that an equity still includes; 0 without holds."""
    if holds is None or isinstance(equity, CallError) or equity.net_of_withdrawals:
        return ZERO
    return holds.owed(mode, equity)
