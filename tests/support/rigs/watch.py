"""A mode whose reserve or equity comes from a rig's source, and its events."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.models import ReserveEvent, ReserveSnapshot
from reservd.reserve.tracker import Instant
from support.portfolio import Ledger, portfolio
from support.rigs.rig import Rig
from support.sources import ScriptedEquity

LOOKS, PAUSE_SECONDS = 1000, 0.02


class Steps:
    """A clock whose monotonic side the test advances; wall-clock time is real, as that of the servers."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Instant:
        return Instant(datetime.now(UTC), self.seconds)


@dataclass
class Watch(Observer):
    """A mode with a target of 100 on a balance source that has 110 or 74.

    Attributes:
        rig: The source.
        said: The kinds of all events, in order.
        read: The readings of the source, in order; None for a failed one.
    """

    of_equity: ClassVar[bool] = False
    sources: ClassVar[dict[str, Any]] = {}
    """The sources that the mode names, if there are several."""
    rig: Rig
    said: list[str] = field(default_factory=list)
    read: list[Decimal | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Steps()
        self.manager = self.make_manager()
        mode = {"share_class": "USDC", "reserve_ratio": "0.1", "reserve_max_staleness": 120}
        self.manager.set_reserve_config("m", mode | self.sources)

    def make_manager(self) -> ReserveManager:
        """Return a manager that reads the source."""
        sources = {"bank": self.rig.source}
        return ReserveManager(ScriptedEquity(), sources, observers=[self], clock=self.clock)

    @property
    def begin(self) -> ReserveStatus:
        """The status while the source works."""
        return self.rig.begin

    def told(self, snapshot: ReserveSnapshot) -> Decimal | None:
        """Return what the source reported."""
        return snapshot.reserve_balance

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        del seconds, failure
        if source == self.rig.source.name:
            self.rig.was_read()

    def checked(self, checked: Checked) -> None:
        self.read.append(self.told(checked.snapshot))

    def event_decided(self, event: ReserveEvent) -> None:
        if not event.reminder:
            self.said.append(event.event_type.removeprefix("reserve_"))

    @property
    def status(self) -> ReserveStatus:
        return self.manager.status("m")

    async def look(self, times: int = 1, *, after: float = 30) -> None:
        for _ in range(times):
            self.clock.seconds += after
            await self.manager.check_all_reserves()

    async def look_until(self, status: ReserveStatus) -> None:
        """Check repeatedly in real time: the machine may be busy, or a venue may have asked for a pause."""
        for _ in range(LOOKS):
            await self.look(after=0)
            if self.status is status:
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"is {self.status}, not {status}: {self.manager.latest_snapshot('m')}")


class EquityWatch(Watch):
    """A mode with a reserve of 10, on an equity source that has 110 or 74: a tenth of 110 is more than the reserve."""

    of_equity = True

    def make_manager(self) -> ReserveManager:
        cash = Ledger("cash", main__USDC=10)
        return ReserveManager(self.rig.source, {"cash": cash}, observers=[self], clock=self.clock)

    @property
    def begin(self) -> ReserveStatus:
        adequate, low = ReserveStatus.ADEQUATE, ReserveStatus.LOW
        return {adequate: low, low: adequate}[self.rig.begin]

    def told(self, snapshot: ReserveSnapshot) -> Decimal | None:
        return snapshot.total_equity


class PriceWatch(Watch):
    """A mode with a reserve of 110 or 74 and 0.3 ether in a cold wallet, with a price source that has ether at 3,000.

    The target is a tenth. Without the ether any reserve would be enough, and with ten times its price none would.
    """

    sources: ClassVar[dict[str, Any]] = {"reserve_balance_sources": ["treasury/main"], "reserve_equity_source": "nav"}

    def make_manager(self) -> ReserveManager:
        nav = portfolio(
            currency="USDC",
            balances=[{"source": "treasury"}, {"source": "cold"}],
            prices={"ETH": {"source": self.rig.source.name, "max_age": 300}},
            timeout=60,
        )
        ledgers = {
            "treasury": Ledger("treasury", main__USDC=self.rig.amount),
            "cold": Ledger("cold", main__ETH="0.3"),
        }
        prices = {self.rig.source.name: self.rig.source}
        return ReserveManager({"nav": nav}, ledgers, price_sources=prices, observers=[self], clock=self.clock)

    def told(self, snapshot: ReserveSnapshot) -> Decimal | None:
        return snapshot.total_equity
