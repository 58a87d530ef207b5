"""Refills and withdrawals on one store, assembled as in the daemon, without a daemon."""

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

from reservd.config.settings import Settings
from reservd.delivery.pipeline import Pipeline
from reservd.errors import FailureReason, SourceError
from reservd.monitor.manager import ReserveManager
from reservd.plugin import Balance, Equity, Reading
from reservd.reserve.holds import Hold
from reservd.reserve.models import ReserveSnapshot
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.replenishment import ReplenishmentObserver, ReplenishmentService
from reservd.service.replenishment.ledger import StoredLedger
from reservd.service.withdrawals import WithdrawalDecision, WithdrawalManager
from reservd.service.withdrawals.commitments import WithdrawalCommitments
from reservd.service.withdrawals.desk import HoldDesk
from reservd.service.withdrawals.journal import HoldJournal
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from support.bank import BASE, Clock
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedReplenisher


class Treasury:
    """Modes that are paid from one account, each with a target of 100; an async context manager that owns the store.

    Without a database everything is kept in memory.

    Attributes:
        clock: The clock of all parts, which a test advances; readings are dated by it.
        replenisher: Receives the requests of all modes.
        refills: Requests refills.
        withdrawals: Decides on withdrawals.
        blind: Whether the account cannot be read.
        block: The block of its readings; None without blocks.
        lag: How far its readings are behind.
        has_store: Whether refills may be requested and withdrawals accepted.
        holds: Keeps the holds.
    """

    def __init__(
        self,
        database: Database | None,
        balance: object = 110,
        modes: Sequence[str] = ("m",),
        refill_observers: Sequence[ReplenishmentObserver] = (),
        **config: Any,
    ) -> None:
        self.clock = Clock()
        self.replenisher = ScriptedReplenisher()
        self.modes = modes
        self.blind = False
        self.block: int | None = None
        self.lag = timedelta()
        self.has_store = True
        self._balances = ScriptedBalances("t", m=balance)
        self._balances.misbehave = self._read
        self._nav = ScriptedEquity()
        self._nav.misbehave = self._value
        self.equity: object = 1000
        self.pipeline: Pipeline | None = None
        ledger = None
        if database is not None:
            self.ownership = Ownership(database)
            settings = Settings.model_validate({"modes": "*"})
            self.pipeline = Pipeline(database, self.ownership, {}, settings, {}, self.clock)
            ledger = StoredLedger(database, self.pipeline.journal)
        observers = [self.pipeline] if self.pipeline is not None else []
        self.manager = ReserveManager({"nav": self._nav}, {"t": self._balances}, observers=observers, clock=self.clock)
        self.refills = ReplenishmentService(
            self.manager.reserve_configs,
            {"unwinder": self.replenisher},
            refill_observers,
            may_act=self._may_act,
            ledger=ledger,
            clock=self.clock,
        )
        self.manager.add_observer(self.refills)
        self.manager.replenishment = self.refills
        for mode in modes:
            self.manager.set_reserve_config(mode, {**BASE, "reserve_replenisher": "unwinder", **config})
        self.holds = HoldDesk(clock=self.clock)
        if database is not None:
            self.holds = HoldJournal(database, self.ownership, self.clock, self.manager.reserve_configs)
        self.withdrawals = WithdrawalManager(self.manager, self.holds, [], self._may_act, clock=self.clock)
        self.refills.heed(WithdrawalCommitments(self.manager, self.holds))
        self._tasks: list[asyncio.Task[None]] = []

    def _may_act(self) -> bool:
        return self.has_store and (self.pipeline is None or self.pipeline.may_act)

    async def _read(self) -> Reading:
        if self.blind:
            raise SourceError(FailureReason.UNREACHABLE)
        now, block = self.clock.wall - self.lag, self.block
        return Reading(
            [
                Balance(name, "USDT", Decimal(str(amount)), now, block=block)
                for name, amount in self._balances.amounts.items()
            ]
        )

    async def _value(self) -> Equity:
        return Equity(Decimal(str(self.equity)), "USDT", self.clock.wall)

    async def __aenter__(self) -> Self:
        if self.pipeline is not None and isinstance(self.holds, HoldJournal):
            await self.ownership.acquire()
            await self.pipeline.open()
            await self.refills.open()
            await self.holds.open()
            self.manager.restore(self.pipeline.states)
            self._tasks.append(asyncio.create_task(self.pipeline.run()))
        self.manager.begin()
        self._tasks.append(asyncio.create_task(self.withdrawals.run()))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        if self.pipeline is not None:
            await self.ownership.release()

    async def crash(self) -> None:
        """Stop without releasing the store."""
        await self.refills.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.close()

    async def see(self, balance: object = None, after_seconds: float = 5) -> ReserveSnapshot:
        """Set the balance, let time pass, check, and wait until the resulting requests are sent and answered."""
        if balance is not None:
            self._balances.amounts["m"] = balance
            self.blind = False
        self.clock.ahead += timedelta(seconds=after_seconds)
        found = await self.manager.check_all_reserves()
        await self.refills.idle()
        await self.refills.look()
        await self.refills.idle()
        return found[self.modes[0]]

    def count(self, mode: str = "m", **amounts: object) -> None:
        """Pay a mode from `m` and these accounts, with these amounts, from now on."""
        self._balances.amounts.update(amounts)
        sources = {"reserve_balance_sources": ["t/m", *(f"t/{name}" for name in amounts)]}
        config = self.manager.reserve_configs[mode].model_dump(exclude_none=True)
        self.manager.set_reserve_config(mode, {**config, **sources})

    async def see_nothing(self) -> ReserveSnapshot:
        """Let time pass and check, while the account cannot be read."""
        self.blind = True
        return await self.see()

    def ask(self, amount: object, mode: str = "m") -> Awaitable[WithdrawalDecision]:
        """Request a withdrawal."""
        return self.withdrawals.process_withdrawal(mode, Decimal(str(amount)))

    async def withdraw(self, amount: object, mode: str = "m") -> Hold:
        """Request a withdrawal, and wait until its missing amount is requested."""
        decision = await self.ask(amount, mode)
        assert decision.hold is not None
        await self.withdrawals._unwinder.idle()
        return decision.hold

    async def pay(self, hold: Hold, balance: object) -> None:
        """Settle a withdrawal a second from now; then check with this balance and the equity reduced by its amount."""
        self.clock.ahead += timedelta(seconds=1)
        await self.withdrawals.settle(hold.id, paid_at=self.clock.wall)
        self.equity = Decimal(str(self.equity)) - hold.amount
        await self.see(balance)

    def own(self, mode: str = "m") -> list[Replenishment]:
        """Return a mode's requests that are not for a withdrawal, in order."""
        return [each for each in self.refills._book.of_mode(mode) if each.request.withdrawal_id is None]

    def request_for(self, hold: Hold) -> Replenishment:
        """Return the request for the missing amount of a withdrawal."""
        return self.refills._book.get(hold.id)

    def hold(self, hold: Hold) -> Hold:
        """Return the current state of a hold."""
        found = self.holds.book.find(hold.id)
        assert found is not None
        return found

    async def settle(self, hold: Hold) -> None:
        """Report that the money for a withdrawal has left, and let an hour pass, after which the request ends."""
        await self.refills.desk.settle(hold.id)
        self.clock.ahead += timedelta(hours=1)
        await self.refills.look()
