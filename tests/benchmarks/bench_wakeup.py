"""A balance changes on a real node: the time until the event, with an interval of an hour."""

import asyncio
import random
import time
from collections.abc import Callable

from structlog.testing import capture_logs

from reservd import ReserveManager
from reservd.monitor.observer import Observer
from support.bench import Figure, report
from support.chain import Anvil, require_anvil
from support.evm import evm_source
from support.sources import ScriptedEquity

ROUNDS = 20
WEI = 500 * 10**18
CONFIG = {"share_class": "ETH", "reserve_ratio": "0.1", "reserve_monitoring_interval": 3600}


class _Heads(Observer):
    """Records when a source last reported a change."""

    at = 0.0

    def woken(self, source: str) -> None:
        del source
        self.at = time.monotonic()


def bench_balance_change_to_event() -> None:
    """Time from sending a transaction, which the node mines at once, to the event in a callback."""
    require_anvil()
    with Anvil() as chain, capture_logs():
        asyncio.run(_measure(chain))


async def _measure(chain: Anvil) -> None:
    treasury, other = chain.accounts[5], chain.accounts[1]
    source = evm_source(
        chain.url,
        ws_url=f"ws://127.0.0.1:{chain.port}",
        wake_interval=0.25,
        accounts={"treasury": treasury},
        assets={"ETH": {"native": True}},
    )
    heads = _Heads()
    # The treasury's 10,000 are above the target and the recovery margin, 9,500 are below it.
    manager = ReserveManager(ScriptedEquity(amount=98_000), {"evm": source}, observers=[heads])
    manager.set_reserve_config("m", CONFIG)
    decided: list[float] = []
    manager.add_reserve_callback(lambda _: decided.append(time.monotonic()))
    running = asyncio.create_task(manager.start_monitoring())
    await _until(lambda: manager.ready and heads.at > 0, chain.mine)
    to_event: list[float] = []
    to_head: list[float] = []
    for number in range(2 * ROUNDS):
        # Wake-ups have a minimum interval, and latency must not depend on when in it a change falls.
        await asyncio.sleep(random.uniform(0.3, 0.5))
        sender, receiver = (other, treasury) if number % 2 else (treasury, other)
        started = time.monotonic()
        transaction = {"from": sender, "to": receiver, "value": hex(WEI)}
        await asyncio.to_thread(chain.rpc, "eth_sendTransaction", transaction)
        await _until(lambda: len(decided) > number)  # noqa: B023  # awaited within the round
        to_event.append(decided[-1] - started)
        to_head.append(heads.at - started)
    manager.stop_monitoring()
    await running
    head, event = (sorted(found)[len(found) // 2] for found in (to_head, to_event))
    report(
        "A balance changes on a node, polled once an hour and followed by newHeads",
        [
            Figure("transaction sent to head heard, median", head * 1e3, "ms", head * 1e3),
            Figure("transaction sent to event, median", event * 1e3, "ms", head * 1e3),
            Figure("head heard to event, median", _median_gap(to_head, to_event) * 1e3, "ms", goal=100),
            Figure("transaction sent to event, longest", max(to_event) * 1e3, "ms", note=f"of {len(to_event)}"),
        ],
    )


def _median_gap(before: list[float], after: list[float]) -> float:
    gaps = sorted(late - early for early, late in zip(before, after, strict=True))
    return gaps[len(gaps) // 2]


async def _until(is_true: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    async with asyncio.timeout(30):
        while not is_true():
            meanwhile()
            await asyncio.sleep(0.001)
