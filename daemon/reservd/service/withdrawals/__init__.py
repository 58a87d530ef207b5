"""Withdrawals: decided on the latest snapshot, and held for until they are paid."""

from reservd.service.withdrawals.answers import (
    QueuedWithdrawal,
    WithdrawalDecision,
    WithdrawalObserver,
    WithdrawalQuote,
)
from reservd.service.withdrawals.manager import WithdrawalManager

__all__ = [
    "QueuedWithdrawal",
    "WithdrawalDecision",
    "WithdrawalManager",
    "WithdrawalObserver",
    "WithdrawalQuote",
]
