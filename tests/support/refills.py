"""Refills of one mode on a real store, without a daemon: what is decided, requested, reported and stored."""

import asyncio
from typing import Any, Self

from reservd.config.settings import Settings
from reservd.delivery.pipeline import Pipeline
from reservd.monitor.manager import ReserveManager
from reservd.plugin import ReplenishmentMessage
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.reserve.replenishment.event import ReplenishmentEvent
from reservd.service.replenishment import ReplenishmentObserver, ReplenishmentService
from reservd.service.replenishment.ledger import StoredLedger
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from support.bank import Clock
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity, ScriptedReplenisher, ScriptedSink


class Listener(ScriptedSink):
    """A sink that records refills as well."""

    def __init__(self, name: str = "ops") -> None:
        super().__init__(name)
        self.changes: list[ReplenishmentMessage] = []

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        if self.misbehave is not None:
            await self.misbehave()
        self.changes.append(event)

    @property
    def states(self) -> list[str]:
        """The reported states, in order, without repetitions."""
        by_id = {each.id: each.data for each in self.changes}
        return [str(each.state) for each in by_id.values()]


class Reasons(ReplenishmentObserver):
    """Records why nothing was requested."""

    def __init__(self) -> None:
        self.all: list[Inaction] = []

    def not_requested(self, mode: str, status: ReserveStatus, reason: Inaction) -> None:
        self.all.append(reason)


class Refinery:
    """A mode `m` with a target of 100 and a replenisher; an async context manager that owns the store.

    Attributes:
        clock: The clock of all parts, which a test may advance; readings are dated by the machine's.
        replenisher: Receives the requests.
        ops: A sink that receives all events.
        reasons: Why nothing was requested.
        service: Decides on refills.
    """

    def __init__(
        self, database: Database, replenisher: ScriptedReplenisher | None = None, balance: object = 110, **mode: Any
    ) -> None:
        self.clock = Clock()
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
            self.clock,
        )
        self._balances = ScriptedBalances("t", main=balance)
        self.manager = ReserveManager(
            ScriptedEquity(), {"t": self._balances}, observers=[self.pipeline], clock=self.clock
        )
        self.service = ReplenishmentService(
            self.manager.reserve_configs,
            {"unwinder": self.replenisher},
            [self.reasons],
            lambda: self.pipeline.may_act,
            ledger=StoredLedger(database, self.pipeline.journal),
            clock=self.clock,
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
        """Stop without releasing the store."""
        await self.service.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.manager.close()

    async def check(self, amount: object) -> None:
        """Check once with this balance, wait for the answers to requests, and handle deadlines, once the store is up.

        On a busy machine a write may be late, and nothing is requested until it is done.
        """
        await until(lambda: self.pipeline.may_act, "the store to be up")
        self._balances.amounts["main"] = amount
        await self.manager.check_all_reserves()
        await self.service.idle()
        await self.service.look()

    @property
    def asked(self) -> list[str]:
        """The ids of the requests that the strategy received, including repetitions."""
        return [request.id for request in self.replenisher.asked]

    async def history(self, replenishment_id: str) -> list[ReplenishmentEvent]:
        """Return the stored history of a request."""
        return list(await self.service.desk.changes(replenishment_id))


async def tells(shop: Refinery, *states: str) -> None:
    """Wait until the sink of `shop` has received exactly these states, in this order and without a gap."""
    await until(lambda: len(shop.ops.states) >= len(states), f"{states}, got {shop.ops.states}")
    assert shop.ops.states == list(states)
    assert [int(each.sequence) for each in shop.ops.changes] == list(range(1, len(states) + 1))
