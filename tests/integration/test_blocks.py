"""A source follows the blocks of a real node, as it does unless told otherwise, for a mode that is checked hourly."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

from reservd import ReserveManager
from reservd.monitor.observer import Observer
from support.chain import Anvil
from support.evm import evm_source
from support.sources import ScriptedEquity

CHANGES = 4
WEI = 10**18
MODE = {"share_class": "ETH", "reserve_ratio": "0.1", "reserve_monitoring_interval": 3600}


class Heads(Observer):
    """Counts the blocks that a source was told of."""

    heard = 0

    def woken(self, source: str) -> None:
        del source
        self.heard += 1


async def test_each_change_is_seen_by_the_block_that_made_it(chain: Anvil) -> None:
    """No block comes after it that could help, and of two in a row the second finds the source just read."""
    treasury, other = chain.accounts[5], chain.accounts[1]
    source = evm_source(
        chain.url,
        ws_url=f"ws://127.0.0.1:{chain.port}",
        accounts={"treasury": treasury},
        assets={"ETH": {"native": True}},
    )
    heads = Heads()
    manager = ReserveManager(ScriptedEquity(), {"evm": source}, observers=[heads])
    manager.set_reserve_config("m", MODE)
    running = asyncio.create_task(manager.start_monitoring())
    await _until(lambda: manager.ready and heads.heard > 0, meanwhile=chain.mine)
    there = _balance(manager)
    for _ in range(CHANGES):
        for _ in range(2):
            payment = {"from": treasury, "to": other, "value": hex(WEI), "gasPrice": "0x0"}
            chain.rpc("eth_sendTransaction", payment)
            there -= 1
        await _until(lambda there=there: _balance(manager) == there)
    manager.stop_monitoring()
    await running


def _balance(manager: ReserveManager) -> Decimal:
    snapshot = manager.latest_snapshot("m")
    assert snapshot is not None
    assert snapshot.reserve_balance is not None
    return snapshot.reserve_balance


async def _until(is_true: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(60):
        while not is_true():
            meanwhile()
            await asyncio.sleep(0.05)
