"""What a source that misbehaves must not do: neither alarm nor calm anybody.

Each source reads a reserve of 110 or 74 where 100 are wanted, from the real thing behind a front that misbehaves.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from reservd import ReserveManager, ReserveStatus
from reservd.errors import FailureReason
from reservd.monitor.observer import Checked, Observer
from reservd.reserve.models import ReserveEvent
from reservd.reserve.tracker import Instant
from support.rigs.chains import AaveV3, Erc4626, Evm
from support.rigs.ledgers import PostgresqlLedger, SqliteLedger
from support.rigs.local import Command
from support.rigs.rig import Rig
from support.rigs.servers import AMOUNTS, Servers
from support.rigs.venues import Ccxt, HttpJson, OfPrometheus
from support.sources import ScriptedEquity

UNKNOWN = ReserveStatus.UNKNOWN
LOOKS, PAUSE_SECONDS = 1000, 0.02


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        yield servers
    finally:
        servers.close()


RIGS: dict[str, Any] = {
    "evm": Evm,
    "erc4626": Erc4626,
    "aave_v3": AaveV3,
    "ccxt": Ccxt,
    "http_json": HttpJson,
    "prometheus": OfPrometheus,
    "sql on SQLite": SqliteLedger,
    "sql on PostgreSQL": PostgresqlLedger,
    "command": Command,
}


class Steps:
    """A clock whose monotonic side moves by 30 seconds a look; the wall's is the real one, which the servers follow."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> Instant:
        return Instant(datetime.now(UTC), self.seconds)


@dataclass
class Watch(Observer):
    """A mode on a source, all that was read of it, and all that was said."""

    rig: Rig
    said: list[str] = field(default_factory=list)
    read: list[Decimal | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Steps()
        self.manager = ReserveManager(ScriptedEquity(), {"bank": self.rig.source}, observers=[self], clock=self.clock)
        mode = {"share_class": self.rig.share_class, "reserve_ratio": "0.1", "reserve_max_staleness": 120}
        self.manager.set_reserve_config("m", mode)

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        del seconds, failure
        if source == self.rig.source.name:
            self.rig.was_read()

    def checked(self, checked: Checked) -> None:
        self.read.append(checked.snapshot.reserve_balance)

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
        """Look again and again, by the machine's own time: it may be busy, or a venue have asked to be left alone."""
        for _ in range(LOOKS):
            await self.look(after=0)
            if self.status is status:
                return
            await asyncio.sleep(PAUSE_SECONDS)
        raise AssertionError(f"is {self.status}, not {status}: {self.manager.latest_snapshot('m')}")


@pytest.fixture
async def watch(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> AsyncIterator[Watch]:
    """A source in either status, looked at once."""
    kind, begin = request.param
    fault = request.node.callspec.params.get("fault", "")
    async with RIGS[kind](servers, begin, tmp_path, fault) as rig:
        watch = Watch(rig)
        await watch.look_until(begin)
        yield watch
        await watch.manager.close()


def each(*kinds: str) -> list[Any]:
    return [pytest.param((kind, begin), id=f"{kind}-{begin}") for kind in kinds for begin in AMOUNTS]


CASES = [
    pytest.param((kind, begin), fault, id=f"{kind} {fault}-{begin}")
    for kind, rig in RIGS.items()
    for fault in rig.FAULTS
    for begin in AMOUNTS
]


@pytest.mark.parametrize(("watch", "fault"), CASES, indirect=["watch"])
async def test_status_is_neither_better_nor_worse_but_unknown_in_time(watch: Watch, fault: str) -> None:
    before, begin = list(watch.said), watch.rig.begin
    broken = watch.rig.breaks(fault)()
    if broken is not None:
        await broken
    await watch.look(3)
    assert (watch.status, watch.said) == (begin, before)
    snapshot = watch.manager.latest_snapshot("m")
    assert snapshot is not None
    assert (snapshot.status, snapshot.reserve_balance) == (UNKNOWN, None)
    assert snapshot.missing
    await watch.look(3)
    assert (watch.status, watch.said) == (UNKNOWN, [*before, "unknown"])
    await watch.rig.heal()
    await watch.look_until(begin)
    assert watch.said == [*before, "unknown", str(begin)]


@pytest.mark.parametrize("watch", each(*RIGS), indirect=True)
async def test_nothing_is_said_when_a_source_reads_zero_by_mistake(watch: Watch) -> None:
    """A fall to nothing is a jump: the second look, taken at once, finds all as it was."""
    before, amount = list(watch.said), watch.read[-1]
    watch.read.clear()
    watch.rig.tells_zero_once()
    await watch.look()
    assert watch.read == [0, amount], "a zero was read, and then what is there"
    await watch.look()
    assert (watch.status, watch.said) == (watch.rig.begin, before)
    assert set(watch.read[1:]) == {amount}


@pytest.mark.parametrize("watch", each("evm", "erc4626", "aave_v3"), indirect=True)
async def test_nothing_is_said_when_a_node_reads_zero_at_one_block(watch: Watch) -> None:
    """However often it is asked about the block: only a newer one says anything new."""
    before, amount = list(watch.said), watch.read[-1]
    watch.read.clear()
    watch.rig.tells_zero()
    await watch.look(3)
    assert len(watch.read) > 3
    assert set(watch.read) == {0}
    assert (watch.status, watch.said) == (watch.rig.begin, before)
    await watch.rig.heal()
    watch.rig.servers.chain.mine()
    await watch.look()
    assert watch.read[-1] == amount
    assert (watch.status, watch.said) == (watch.rig.begin, before)
