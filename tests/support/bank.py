"""A mode from which clients withdraw, without a daemon."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from reservd.monitor.clock import SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.plugin.interfaces import Replenisher
from reservd.reserve.state import Instant
from reservd.reserve.withdrawal import WithdrawalSpeed
from reservd.service.replenishment import ReplenishmentService
from reservd.service.withdrawals import WithdrawalDecision, WithdrawalManager, WithdrawalObserver
from reservd.service.withdrawals.journal import HoldJournal
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from reservd.store.schema import upgrade
from support.sources import ScriptedBalances, ScriptedEquity

BASE = {
    "share_class": "USDT",
    "reserve_ratio": "0.1",
    "reserve_balance_sources": ["t/m"],
    "reserve_equity_source": "nav",
    "reserve_max_jump": 1000,
}


class Clock(SystemClock):
    """The machine's clocks, changed by the test.

    Attributes:
        ahead: Time that has passed on both clocks in addition.
        wrong: The error of the wall clock.
    """

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.wrong = timedelta()

    def now(self) -> Instant:
        now = super().now()
        return Instant(now.wall + self.ahead + self.wrong, now.monotonic + self.ahead.total_seconds())

    @property
    def wall(self) -> datetime:
        return self.now().wall


class Heard(WithdrawalObserver):
    """Records what the withdrawals report."""

    def __init__(self) -> None:
        self.decisions: list[WithdrawalDecision] = []
        self.overdue_by_mode: dict[str, int] = {}

    def decided(self, decision: WithdrawalDecision, seconds: float) -> None:
        self.decisions.append(decision)

    def overdue(self, by_mode: Any) -> None:
        self.overdue_by_mode = dict(by_mode)


class Bank:
    """Watches mode `m`, with an equity of 1,000 and a target of 100, and decides on withdrawals from it.

    With a database it is an async context manager that owns the store; without one, holds are kept in memory.

    Attributes:
        manager: Watches the mode.
        withdrawals: Decides on withdrawals.
        balances: The balances of the accounts; `see` sets and reads them.
    """

    def __init__(
        self,
        balance: object = 110,
        database: Database | None = None,
        replenisher: Replenisher[Any] | None = None,
        promises: bool = True,
        **config: Any,
    ) -> None:
        self.clock = Clock()
        self.heard = Heard()
        self.promises = promises
        self.balances = ScriptedBalances("t", m=balance)
        self.equity = ScriptedEquity()
        self.manager = ReserveManager({"nav": self.equity}, {"t": self.balances}, clock=self.clock)
        if replenisher is not None:
            config = {"reserve_replenisher": replenisher.name, **config}
        self.manager.set_reserve_config("m", {**BASE, **config})
        self.refills: ReplenishmentService | None = None
        if replenisher is not None:
            configs = self.manager.reserve_configs
            self.refills = ReplenishmentService(configs, {replenisher.name: replenisher})
            self.manager.replenishment = self.refills
        self.database = database
        self.ownership = Ownership(database) if database is not None else None
        self.journal: HoldJournal | None = None
        if database is not None and self.ownership is not None:
            self.journal = HoldJournal(database, self.ownership, self.clock, self.manager.reserve_configs)
        self.withdrawals = WithdrawalManager(
            self.manager, self.journal, [self.heard], lambda: self.promises, self.clock
        )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.ownership is not None and self.journal is not None and self.database is not None:
            await self.ownership.acquire()
            await upgrade(self.database)
            await self.journal.open()
        self.task = asyncio.create_task(self.withdrawals.run())
        await self.see()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        if self.ownership is not None:
            await self.ownership.release()

    async def crash(self) -> None:
        """Stop without releasing the store."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        if self.refills is not None:
            await self.refills.close()
        await self.manager.close()

    async def see(self, balance: object = None) -> Any:
        """Set the balance, check, and return the snapshot."""
        if balance is not None:
            self.balances.amounts["m"] = balance
        return (await self.manager.check_all_reserves())["m"]

    def ask(self, amount: object, key: str | None = None) -> Awaitable[WithdrawalDecision]:
        """Request a withdrawal."""
        return self.withdrawals.process_withdrawal("m", Decimal(str(amount)), key)


def terms(decision: Any) -> tuple[WithdrawalSpeed, Decimal, Decimal]:
    """Return the speed of a withdrawal, its part from the reserve, and the amount that is unwound."""
    return decision.speed, decision.from_reserve, decision.unwound
