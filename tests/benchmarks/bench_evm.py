"""A thousand wallets on a real node behind a slow line, beside one request for each balance."""

import asyncio
import time
from decimal import Decimal

import aiohttp
from eth_abi import encode

from reservd_evm.source import EvmSource
from support.bench import Figure, report
from support.chain import Anvil, require_anvil
from support.proxy import RpcProxy

WALLETS = 1_000
SAMPLE = 50
DELAY_SECONDS = 0.02


def bench_thousand_wallets_behind_a_slow_line() -> None:
    """HTTP requests and time of a cycle, native coin and one token of each wallet."""
    require_anvil()
    with Anvil() as chain:
        chain.install_multicall()
        token = chain.deploy_token(decimals=6)
        wallets = {f"wallet_{number}": f"0x{number + 0xA0000:040x}" for number in range(WALLETS)}
        chain.transfer_many(token, dict.fromkeys(wallets.values(), 1_000_000))
        chain.set_ether(dict.fromkeys(wallets.values(), 10**18))
        asyncio.run(_measure(chain, token, wallets))


async def _measure(chain: Anvil, token: str, wallets: dict[str, str]) -> None:
    async with RpcProxy(chain.url, delay_seconds=DELAY_SECONDS) as proxy:
        single = await _one_by_one(proxy.url, token, list(wallets.values())[:SAMPLE])
        base = single / SAMPLE * WALLETS
        options = {
            "rpc_url": proxy.url,
            "chain_id": 31337,
            "timeout": 60,
            "accounts": wallets,
            "assets": {"ETH": {"native": True}, "USDT": {"token": token}},
        }
        source = EvmSource("treasury", EvmSource.Config.model_validate(options))
        async with source:
            await source.fetch_balances()
            proxy.requests.clear()
            started = time.monotonic()
            cpu = time.process_time()
            reading = await source.fetch_balances()
            took, cpu = time.monotonic() - started, time.process_time() - cpu
            assert len(reading.balances) == 2 * WALLETS
            assert {balance.amount for balance in reading.balances} == {Decimal(1)}
    report(
        f"{WALLETS:,} wallets, native coin and one token, through {DELAY_SECONDS * 1e3:.0f} ms",
        [
            Figure("one request a balance, 10 at a time", base * 1e3, "ms", base * 1e3, note=f"scaled from {SAMPLE}"),
            Figure("evm, one cycle", took * 1e3, "ms", base * 1e3),
            Figure("evm, CPU of it, the proxy's included", cpu * 1e3, "ms"),
            Figure("evm, HTTP requests a cycle", len(proxy.requests), "requests", goal=5),
        ],
    )


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
