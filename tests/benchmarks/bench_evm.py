"""Many wallets on a real node behind a slow line, compared with one request per balance and a bare Multicall3 call."""

import asyncio
import time
from decimal import Decimal

import aiohttp
import pytest
from eth_abi import encode
from eth_utils import function_signature_to_4byte_selector as selector

from reservd_evm.source import EvmSource
from support.bench import Figure, report
from support.chain import Anvil, require_anvil
from support.contracts import MULTICALL3
from support.proxy import RpcProxy

SAMPLE = 50
ROUNDS = 5
DELAY_SECONDS = 0.02


@pytest.mark.parametrize("count", [100, 1_000])
def bench_wallets_behind_a_slow_line(count: int) -> None:
    """HTTP requests, time and CPU of a cycle, with the native coin and one token of each wallet."""
    require_anvil()
    with Anvil() as chain:
        chain.install_multicall()
        token = chain.deploy_token(decimals=6)
        wallets = {f"wallet_{number}": f"0x{number + 0xA0000:040x}" for number in range(count)}
        chain.transfer_many(token, dict.fromkeys(wallets.values(), 1_000_000))
        chain.set_ether(dict.fromkeys(wallets.values(), 10**18))
        asyncio.run(_measure(chain, token, wallets))


async def _measure(chain: Anvil, token: str, wallets: dict[str, str]) -> None:
    async with RpcProxy(chain.url, delay_seconds=DELAY_SECONDS) as proxy:
        single = await _one_by_one(proxy.url, token, list(wallets.values())[:SAMPLE])
        base = single / SAMPLE * len(wallets)
        body = _bare_multicall(token, list(wallets.values()))
        options = {
            "rpc_url": proxy.url,
            "chain_id": 31337,
            "timeout": 60,
            "accounts": wallets,
            "assets": {"ETH": {"native": True}, "USDT": {"token": token}},
        }
        source = EvmSource("treasury", EvmSource.Config.model_validate(options))
        bare, took, cpus = [], [], []
        async with source, aiohttp.ClientSession() as session:
            await source.fetch_balances()
            for _ in range(ROUNDS):
                bare.append(await _post(session, proxy.url, body))
                proxy.requests.clear()
                started, cpu = time.monotonic(), time.process_time()
                reading = await source.fetch_balances()
                took.append(time.monotonic() - started)
                cpus.append(time.process_time() - cpu)
                assert len(reading.balances) == 2 * len(wallets)
                assert {balance.amount for balance in reading.balances} == {Decimal(1)}
    report(
        f"{len(wallets):,} wallets, native coin and one token, through {DELAY_SECONDS * 1e3:.0f} ms",
        [
            Figure("one request a balance, 10 at a time", base * 1e3, "ms", base * 1e3, note=f"scaled from {SAMPLE}"),
            Figure("evm, one cycle", min(took) * 1e3, "ms", base * 1e3),
            Figure("one bare Multicall3 call, nothing decoded", min(bare) * 1e3, "ms", min(bare) * 1e3),
            Figure("evm, one cycle, beside it", min(took) * 1e3, "ms", min(bare) * 1e3, goal=2),
            Figure("evm, CPU of a cycle, the proxy's included", min(cpus) * 1e3, "ms"),
            Figure("evm, HTTP requests a cycle", len(proxy.requests), "requests", goal=5),
        ],
    )


def _bare_multicall(token: str, wallets: list[str]) -> dict[str, object]:
    """Return the JSON-RPC call that reads all balances at once: the minimum for any client."""
    calls = [(MULTICALL3, True, selector("getEthBalance(address)") + encode(["address"], [each])) for each in wallets]
    calls += [(token, True, selector("balanceOf(address)") + encode(["address"], [each])) for each in wallets]
    data = selector("aggregate3((address,bool,bytes)[])") + encode(["(address,bool,bytes)[]"], [calls])
    params = [{"to": MULTICALL3, "data": "0x" + data.hex()}, "latest"]
    return {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": params}


async def _post(session: aiohttp.ClientSession, url: str, body: dict[str, object]) -> float:
    started = time.monotonic()
    async with session.post(url, json=body) as answer:
        assert "result" in await answer.json()
    return time.monotonic() - started


async def _one_by_one(url: str, token: str, wallets: list[str]) -> float:
    limit = asyncio.Semaphore(10)
    async with aiohttp.ClientSession() as session:

        async def ask(method: str, *params: object) -> None:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            async with limit, session.post(url, json=body) as answer:
                assert "result" in await answer.json()

        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for wallet in wallets:
                data = "0x70a08231" + encode(["address"], [wallet]).hex()
                tasks.create_task(ask("eth_getBalance", wallet, "latest"))
                tasks.create_task(ask("eth_call", {"to": token, "data": data}, "latest"))
        return time.monotonic() - started
