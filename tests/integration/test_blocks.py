"""A source follows the blocks of a real node by default, for a mode that is checked hourly."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from reservd import ReserveManager
from reservd.errors import FailureReason
from reservd.monitor.observer import Observer
from support.chain import Anvil
from support.evm import evm_source
from support.nodes import nodes_like
from support.sources import ScriptedEquity

CHANGES = 4
WEI = 10**18
MODE = {"share_class": "ETH", "reserve_ratio": "0.1", "reserve_monitoring_interval": 3600}


@dataclass
class Watched(Observer):
    """A wallet that is read at one node while another node, or the same, announces blocks."""

    read_at: Anvil
    told_by: Anvil
    heads = 0
    reads = 0

    def __post_init__(self) -> None:
        self.treasury, self.other = self.read_at.accounts[5], self.read_at.accounts[1]
        source = evm_source(
            self.read_at.url,
            ws_url=f"ws://127.0.0.1:{self.told_by.port}",
            accounts={"treasury": self.treasury},
            assets={"ETH": {"native": True}},
        )
        self.manager = ReserveManager(ScriptedEquity(), {"evm": source}, observers=[self])
        self.manager.set_reserve_config("m", MODE)

    def woken(self, source: str) -> None:
        del source
        self.heads += 1

    def fetched(self, source: str, seconds: float, failure: FailureReason | None) -> None:
        del seconds, failure
        self.reads += source == "evm"

    @property
    def balance(self) -> Decimal:
        snapshot = self.manager.latest_snapshot("m")
        assert snapshot is not None
        assert snapshot.reserve_balance is not None
        return snapshot.reserve_balance

    def pay(self) -> None:
        """Send one ether, in a block of its own."""
        payment = {"from": self.treasury, "to": self.other, "value": hex(WEI), "gasPrice": "0x0"}
        self.read_at.rpc("eth_sendTransaction", payment)


@asynccontextmanager
async def watching(read_at: Anvil, told_by: Anvil) -> AsyncIterator[Watched]:
    """Watch the wallet, once the source receives blocks."""
    watched = Watched(read_at, told_by)
    running = asyncio.create_task(watched.manager.start_monitoring())
    await until(lambda: watched.manager.ready and watched.heads > 0, meanwhile=told_by.mine)
    yield watched
    watched.manager.stop_monitoring()
    await running


async def until(is_true: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Wait by polling."""
    async with asyncio.timeout(60):
        while not is_true():
            meanwhile()
            await asyncio.sleep(0.05)


async def test_each_change_is_seen_by_the_block_that_made_it(chain: Anvil) -> None:
    """No later block helps, and the second of two consecutive blocks comes when the source has just been read."""
    async with watching(chain, chain) as watched:
        there = watched.balance
        for _ in range(CHANGES):
            watched.pay()
            watched.pay()
            there -= 2
            await until(lambda there=there: watched.balance == there)


async def test_change_is_seen_when_the_node_that_is_read_has_its_block_later_than_another_tells_of_it(
    chain: Anvil,
) -> None:
    """As behind a provider's load balancer: the first reading is still at the block before."""
    with nodes_like(chain, 1) as (late,):
        async with watching(late, chain) as watched:
            there, reads = watched.balance, watched.reads
            chain.mine()
            await until(lambda: watched.reads > reads)
            watched.pay()
            await until(lambda: watched.balance == there - 1)
