"""Strategies for tests, in two settings: in the process of their manager, and connected to a daemon.

Each setting has one mode, `alpha`, with a target of 100.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from reservd import BaseStrategyManager, ReserveManager
from reservd.client import AsyncClient, RemoteReserveManager, StrategyMemory
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment.states import Replenishment
from reservd.service.callables import StrategyReplenisher
from reservd.service.occasion import Occasion, Reserves
from reservd.service.replenishment import ReplenishmentService
from support.api import ApiDaemon
from support.polling import until
from support.sources import ScriptedBalances, ScriptedEquity
from support.world import AMOUNTS

CONFIG: dict[str, Any] = {
    "mode": "alpha",
    "share_class": "USDT",
    "asset": "USDT",
    "reserve_ratio": "0.1",
    "reserve_monitoring_interval": "0.05",
    "reserve_event_repeat_interval": "0.05",
}


Strategies = Callable[[Reserves, dict[str, Any]], object]
"""Creates strategies, given a manager and a configuration."""


class AwaitingStrategy(BaseStrategyManager):
    """Records why it was called, and reports when its money has left."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.occasions: list[Occasion] = []

    async def request_fast_execution(self) -> None:
        self.occasions.append(self.occasion)
        await self.report_progress(reference="tx-1", reason="half of it")
        await self.report_settled(reason="all of it")

    async def request_emergency_execution(self) -> None:
        self.occasions.append(self.occasion)
        await self.report_settled()

    @property
    def urgencies(self) -> list[str]:
        """The urgencies with which it was called, in order."""
        return [str(occasion.urgency) for occasion in self.occasions]


class PlainStrategy(AwaitingStrategy):
    """The same with plain functions, as in the requirements."""

    def request_fast_execution(self) -> None:  # type: ignore[override]  # a strategy has the one or the other
        self.occasions.append(self.occasion)
        self.wait_for(self.report_progress(reference="tx-1", reason="half of it"))
        self.wait_for(self.report_settled(reason="all of it"))

    def request_emergency_execution(self) -> None:  # type: ignore[override]  # the same
        self.occasions.append(self.occasion)
        self.wait_for(self.report_settled())


class Setting(NamedTuple):
    """Where a strategy runs, and how a test acts on it."""

    reserves: Reserves
    bring: Callable[[str], Any]
    """Sets the balance of the mode to that of a status word, and waits until it has the status."""
    find: Callable[[str], Any]
    """Returns a request for a refill."""


@asynccontextmanager
async def beside(strategies: Strategies, *, refilled: bool) -> AsyncIterator[Setting]:
    """Run strategies in the process of their manager."""
    source = ScriptedBalances("t", main=AMOUNTS["adequate"])
    manager = ReserveManager(ScriptedEquity(), {"t": source})
    config = {**CONFIG, "reserve_replenisher": "strategies"} if refilled else CONFIG
    service = ReplenishmentService(manager.reserve_configs, {"strategies": StrategyReplenisher(manager)})
    if refilled:
        manager.replenishment = service
        manager.add_observer(service)
    strategies(manager, config)

    async def bring(status: str) -> None:
        source.amounts["main"] = AMOUNTS[status]
        await until(lambda: manager.status("alpha") is ReserveStatus(status), f"alpha to be {status}")

    monitoring = asyncio.create_task(manager.start_monitoring())
    try:
        await until(lambda: manager.ready, "the first check")
        yield Setting(manager, bring, service.desk.find)
    finally:
        manager.stop_monitoring()
        await monitoring
        await service.close()


@asynccontextmanager
async def remote(
    url: str | list[str], strategies: Strategies, memory: StrategyMemory | None = None
) -> AsyncIterator[RemoteReserveManager]:
    """Run strategies as `alpha-bot`, connected to the daemon that watches their mode, once they listen."""
    async with AsyncClient(url, token="rsv_alpha-bot") as client:
        manager = RemoteReserveManager(client, memory)
        strategies(manager, CONFIG)
        monitoring = asyncio.create_task(manager.start_monitoring())
        await until(lambda: manager.listening or monitoring.done(), "it to listen")
        try:
            yield manager
        finally:
            manager.stop_monitoring()
            await monitoring


@asynccontextmanager
async def far(folder: Path, strategies: Strategies, *, refilled: bool) -> AsyncIterator[Setting]:
    """Run strategies over HTTP, on a daemon of the test's own."""
    daemon = await asyncio.to_thread(ApiDaemon(folder, over_api=["alpha"] if refilled else []).__enter__)
    try:
        async with (
            remote(f"http://{daemon.address}", strategies) as manager,
            AsyncClient(f"http://{daemon.address}") as client,
        ):

            async def bring(status: str) -> None:
                await asyncio.to_thread(daemon.bring, "alpha", status)

            async def find(replenishment_id: str) -> Replenishment:
                return await client.get_replenishment(replenishment_id)

            await bring("adequate")  # on a busy machine, the first cycle may end without a reading
            yield Setting(manager, bring, find)
    finally:
        await asyncio.to_thread(daemon.__exit__)
