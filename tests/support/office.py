"""A reserve manager whose events go through a real store to sinks, without a daemon."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

from reservd.config.settings import Settings
from reservd.delivery.observer import DeliveryObserver
from reservd.delivery.pipeline import Pipeline
from reservd.errors import FailureReason
from reservd.monitor.clock import SystemClock
from reservd.monitor.manager import ReserveManager
from reservd.plugin import EventSink, ReserveEvent
from reservd.store.database import Database
from reservd.store.ownership import Ownership
from reservd.wire.events import DeliveryState
from support.sources import ScriptedBalances, ScriptedEquity

# Within a jump of each other, so that each is believed without confirmation.
AMOUNTS = {"adequate": 110, "low": 74, "critical": 49}


class Heard(DeliveryObserver):
    """Records what the delivery reports."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, FailureReason | None]] = []
        self.ends: list[tuple[str, DeliveryState]] = []
        self.silenced_modes: frozenset[str] | None = None
        self.store_up: bool | None = None
        self.unwritten = 0

    def delivered(self, sink: str, seconds: float, failure: FailureReason | None) -> None:
        self.attempts.append((sink, failure))

    def ended(self, sink: str, state: DeliveryState) -> None:
        self.ends.append((sink, state))

    def silenced(self, modes: frozenset[str]) -> None:
        self.silenced_modes = modes

    def store_is(self, *, up: bool, unwritten: int) -> None:
        self.store_up, self.unwritten = up, unwritten


class Office:
    """Watches modes whose balances a test sets; an async context manager that owns the store.

    Attributes:
        equity: The equity source of every mode.
        heard: What the delivery reported.
        manager: Watches the modes.
        ownership: The ownership of the store.
    """

    def __init__(
        self,
        database: Database,
        *sinks: EventSink[Any],
        modes: Sequence[str] = ("m",),
        store: Mapping[str, Any] | None = None,
        repeat_seconds: int = 300,
        begin: object = "adequate",
        **settings: Mapping[str, Any],
    ) -> None:
        """Prepare it.

        Args:
            database: The store.
            sinks: Receive the events of every mode.
            modes: The modes.
            store: Settings of the store.
            begin: The initial balance of every mode.
            repeat_seconds: The interval between reminders.
            settings: Of sinks, by name. Retries come at once unless these say otherwise.
        """
        self.heard = Heard()
        self.ownership = Ownership(database)
        sink_settings = {
            sink.name: {"plugin": "scripted", "retry": {"first": 0.05, "longest": 0.2}, **settings.get(sink.name, {})}
            for sink in sinks
        }
        self.pipeline = Pipeline(
            database,
            self.ownership,
            {sink.name: sink for sink in sinks},
            Settings.model_validate({"modes": "*", "event_sinks": sink_settings, "store": dict(store or {})}),
            {mode: [sink.name for sink in sinks] for mode in modes},
            SystemClock(),
            [self.heard],
        )
        self._balances = ScriptedBalances("t", **dict.fromkeys(modes, AMOUNTS.get(str(begin), begin)))
        self.events: list[ReserveEvent] = []
        self.equity = ScriptedEquity()
        self.manager = ReserveManager(self.equity, {"t": self._balances}, observers=[self.pipeline])
        for mode in modes:
            self.manager.set_reserve_config(
                mode,
                {
                    "share_class": "USDT",
                    "reserve_ratio": "0.1",
                    "reserve_balance_sources": [f"t/{mode}"],
                    "reserve_event_repeat_interval": repeat_seconds,
                },
            )
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.ownership.acquire()
        await self.pipeline.open()
        self.manager.restore(self.pipeline.states)
        self.manager.begin()
        self.task = asyncio.create_task(self.pipeline.run())
        await self.look()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.crash()
        await self.ownership.release()

    async def crash(self) -> None:
        """Stop without releasing the store."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.manager.close()

    async def look(self, **amounts: object) -> None:
        """Set balances and check every mode. A status word stands for a balance with that status."""
        self._balances.amounts.update({mode: AMOUNTS.get(str(amount), amount) for mode, amount in amounts.items()})
        await self.manager.check_all_reserves()
