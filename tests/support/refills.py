"""Refills of one mode on a real store: what is decided, asked for, told and kept, without a daemon around it."""

import asyncio
from typing import Any, Self

from reservd.config.settings import Settings
from reservd.delivery.pipeline import Pipeline
from reservd.monitor.clock import SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.plugin import ReplenishmentMessage
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.service.replenishment import ReplenishmentObserver, ReplenishmentService
from reservd.service.replenishment.ledger import StoredLedger
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedReplenisher, ScriptedSink


class Listener(ScriptedSink):
    """Hears of refills as well."""

    def __init__(self, name: str = "ops") -> None:
        super().__init__(name)
        self.changes: list[ReplenishmentMessage] = []

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        if self.misbehave is not None:
            await self.misbehave()
        self.changes.append(event)

    @property
    def states(self) -> list[str]:
        """The states that were told, in order, repetitions left out."""
        by_id = {each.id: each.data for each in self.changes}
        return [str(each.state) for each in by_id.values()]


class Reasons(ReplenishmentObserver):
    """Keeps why nothing was asked for."""

    def __init__(self) -> None:
        self.all: list[Inaction] = []

    def not_requested(self, mode: str, status: ReserveStatus, reason: Inaction) -> None:
        self.all.append(reason)


class Refinery:
    """One mode `m` with a target of 100 and a replenisher; an async context manager that owns the store meanwhile.

    Attributes:
        replenisher: What is asked.
        ops: A sink that hears of all.
        reasons: Why nothing was asked for.
        service: Decides.
    """

    def __init__(
        self, database: Database, replenisher: ScriptedReplenisher | None = None, balance: object = 110, **mode: Any
    ) -> None:
        self.replenisher = replenisher or ScriptedReplenisher(timeout=1)
        self.ops = Listener()
        self.reasons = Reasons()
        self.ownership = Ownership(database)
        settings = {"plugin": "scripted", "retry": {"first": 0.05, "longest": 0.2}}
        self.pipeline = Pipeline(
            database,
            self.ownership,
            {"ops": self.ops},
            Settings.model_validate({"modes": "*", "event_sinks": {"ops": settings}}),
            {"m": ["ops"]},
            SystemClock(),
        )
        self._balances = ScriptedBalances("t", main=balance)
        self.manager = ReserveManager(ScriptedEquity(), {"t": self._balances}, observers=[self.pipeline])
        self.service = ReplenishmentService(
            self.manager.reserve_configs,
            {"unwinder": self.replenisher},
            [self.reasons],
            lambda: self.pipeline.may_act,
            ledger=StoredLedger(database, self.pipeline.journal),
            epoch=lambda: self.pipeline.journal.epoch,
        )
        self.manager.add_observer(self.service)
        self.manager.replenishment = self.service
        keys = {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_replenisher": "unwinder", "reserve_max_jump": 9}
        self.manager.set_reserve_config("m", {**keys, **mode})
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.ownership.acquire()
        await self.pipeline.open()
        await self.service.open()
        self.manager.restore(self.pipeline.states)
        self.manager.begin()
        self._task = asyncio.create_task(self.pipeline.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        await self.ownership.release()

    async def crash(self) -> None:
        """Stop without giving the store up."""
        await self.service.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.manager.close()

    async def check(self, amount: object) -> None:
        """Check once with this balance, let what was asked be answered, and do what is due, once the store is well.

        On a busy machine it is late with a write now and then, and nothing is asked for meanwhile.
        """
        await until(lambda: self.pipeline.may_act, "the store to be well")
        self._balances.amounts["main"] = amount
        await self.manager.check_all_reserves()
        await self.service.idle()
        await self.service.look()

    @property
    def asked(self) -> list[str]:
        """The ids that the strategy was asked under, repetitions included."""
        return [request.id for request in self.replenisher.asked]

    async def history(self, replenishment_id: str) -> list[ReplenishmentEvent]:
        """Return what is stored of a request."""
        return list(await self.service.desk.changes(replenishment_id))


async def tells(shop: Refinery, *states: str) -> None:
    """Wait until the sink of `shop` has heard of these states, in this order and without a gap."""
    await until(lambda: len(shop.ops.states) >= len(states), f"{states}, got {shop.ops.states}")
    assert shop.ops.states == list(states)
    assert [int(each.sequence) for each in shop.ops.changes] == list(range(1, len(states) + 1))
