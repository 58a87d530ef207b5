"""The `evm` source when several endpoints must agree."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from reservd.plugin import FailureReason, Reading, SourceError
from support.chain import Anvil
from support.evm import addresses, evm_source
from support.nodes import nodes_like
from support.proxy import RpcProxy

KNOWN = {"cold": Decimal(5), "hot": Decimal(7)}


@pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
def options(request: pytest.FixtureRequest, chain: Anvil) -> dict[str, Any]:
    """Two accounts that hold 5 and 7 ether."""
    if request.param:
        chain.install_multicall()
    cold, hot = addresses(2)
    chain.transfer_ether(cold, 5 * 10**18)
    chain.transfer_ether(hot, 7 * 10**18)
    return {"accounts": {"cold": cold, "hot": hot}, "assets": {"ETH": {"native": True}}}


@pytest.fixture
def nodes(chain: Anvil, options: dict[str, Any]) -> Iterator[list[Anvil]]:
    """Three nodes of one chain."""
    with nodes_like(chain, 2) as others:
        yield [chain, *others]


def urls(nodes: list[Anvil]) -> list[str]:
    return [node.url for node in nodes]


def amounts(reading: Reading) -> dict[str, Decimal]:
    assert reading.failures == []
    return {balance.account: balance.amount for balance in reading.balances}


async def test_reading_is_the_same_when_one_of_three_nodes_is_killed(
    nodes: list[Anvil], options: dict[str, Any]
) -> None:
    async with evm_source(urls(nodes), quorum=2, **options) as source:
        before = await source.fetch_balances()
        assert amounts(before) == KNOWN
        nodes[1].stop()
        assert await source.fetch_balances() == before
        nodes[1].start()
        nodes[0].stop()
        assert await source.fetch_balances() == before


async def test_reading_is_the_same_when_one_of_three_nodes_hangs(nodes: list[Anvil], options: dict[str, Any]) -> None:
    async with evm_source(urls(nodes), quorum=2, endpoint_timeout=3, **options) as source:
        before = await source.fetch_balances()
        nodes[0].pause()
        assert await source.fetch_balances() == before
        nodes[0].resume()


async def test_source_fails_when_too_few_nodes_are_left(nodes: list[Anvil], options: dict[str, Any]) -> None:
    async with evm_source(urls(nodes), quorum=2, **options) as source:
        nodes[0].stop()
        nodes[2].stop()
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.UNREACHABLE
    assert "http" not in failed.value.detail


async def test_source_fails_when_nodes_disagree(nodes: list[Anvil], options: dict[str, Any]) -> None:
    """At the same block; no mean is formed."""
    async with evm_source(urls(nodes), quorum=2, **options) as source:
        nodes[1].set_ether({options["accounts"]["hot"]: 9 * 10**18})
        with pytest.raises(
            SourceError, match=f"the endpoints 1, 2 disagree: ether of {options['accounts']['hot']}"
        ) as failed:
            await source.fetch_balances()
        assert failed.value.reason is FailureReason.INVALID_DATA
        nodes[1].set_ether({options["accounts"]["hot"]: 7 * 10**18})
        assert amounts(await source.fetch_balances()) == KNOWN


async def test_source_fails_when_decimals_disagree(chain: Anvil, nodes: list[Anvil], options: dict[str, Any]) -> None:
    token = "0x" + "77" * 20
    chain.rpc("anvil_setCode", token, "0x600660005260206000f3")  # answers 6 to everything
    nodes[1].rpc("anvil_setCode", token, "0x600860005260206000f3")
    accounts = options["accounts"]
    assets = {"USDT": {"token": token}}
    async with evm_source(urls(nodes), quorum=2, accounts=accounts, assets=assets) as source:
        with pytest.raises(SourceError, match="disagree") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


@pytest.mark.parametrize("ahead", [0, 1])
async def test_reading_is_of_the_lowest_head_when_nodes_are_at_different_blocks(
    nodes: list[Anvil], options: dict[str, Any], ahead: int
) -> None:
    height = nodes[0].block_number()
    nodes[ahead].transfer_ether(options["accounts"]["hot"], 10**18)
    async with evm_source(urls(nodes[:2]), quorum=2, **options) as source:
        reading = await source.fetch_balances()
    assert {balance.block for balance in reading.balances} == {height}
    assert amounts(reading) == KNOWN


async def test_late_node_is_replaced_when_it_is_behind_more_than_allowed(
    nodes: list[Anvil], options: dict[str, Any]
) -> None:
    """Without a replacement there is no reading."""
    latest = nodes[0].rpc("eth_getBlockByNumber", "latest", False)
    height, now = int(latest["number"], 16), int(latest["timestamp"], 16)
    async with evm_source(urls(nodes), quorum=2, quorum_max_lag=2, **options) as source:
        for node in (nodes[0], nodes[2]):
            node.mine_at([now + 1, now + 2, now + 3])
        reading = await source.fetch_balances()
        assert {balance.block for balance in reading.balances} == {height + 3}
        assert amounts(reading) == KNOWN
    async with evm_source(urls(nodes[:2]), quorum=2, quorum_max_lag=2, **options) as source:
        with pytest.raises(SourceError, match="3 blocks behind, quorum_max_lag is 2") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_source_fails_when_nodes_are_on_two_branches(nodes: list[Anvil], options: dict[str, Any]) -> None:
    """Both have a block with that number and the same balances, but not the same block."""
    for number, node in enumerate(nodes):
        node.transfer_ether(node.accounts[5], 1 + number)
    height = min(node.block_number() for node in nodes)  # a node may have made an empty block too
    async with evm_source(urls(nodes), quorum=3, **options) as source:
        with pytest.raises(SourceError, match=f"the endpoints 1, 2, 3 do not have the same block {height}$") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_account_fails_alone_when_one_of_the_nodes_cannot_read_it(
    nodes: list[Anvil], options: dict[str, Any]
) -> None:
    """An answer of a single endpoint has no quorum."""
    hot = options["accounts"]["hot"]
    async with RpcProxy(nodes[1].url) as proxy:

        def lose(answers: list[Any]) -> list[Any]:
            return [
                answer | {"error": {"code": 3, "message": "execution reverted"}}
                if hot in str(call["params"]) and call["method"] == "eth_getBalance"
                else answer
                for call, answer in zip(proxy.requests[-1], answers, strict=True)
            ]

        proxy.alter(lose)
        for node in nodes[:2]:
            node.rpc("anvil_setCode", "0xcA11bde05977b3631167028862bE2a173976CA11", "0x")
        async with evm_source([nodes[0].url, proxy.url], quorum=2, **options) as source:
            reading = await source.fetch_balances()
    assert [(balance.account, balance.amount) for balance in reading.balances] == [("cold", KNOWN["cold"])]
    assert [(failure.account, failure.reason) for failure in reading.failures] == [("hot", FailureReason.REJECTED)]


async def test_endpoint_is_replaced_when_it_limits_some_calls(nodes: list[Anvil], options: dict[str, Any]) -> None:
    """Without a replacement, the accounts for which it did not answer fail."""
    error = {"error": {"code": -32005, "message": "slow"}}
    hot = options["accounts"]["hot"][2:]
    async with RpcProxy(nodes[1].url) as proxy:
        proxy.alter(
            lambda answers: [
                answer | (error if hot in str(call["params"]) else {})
                for call, answer in zip(proxy.requests[-1], answers, strict=True)
            ]
        )
        async with evm_source([nodes[0].url, proxy.url, nodes[2].url], quorum=2, **options) as source:
            assert amounts(await source.fetch_balances()) == KNOWN
            asked = len(proxy.requests)
            assert amounts(await source.fetch_balances()) == KNOWN
            assert len(proxy.requests) == asked
        async with evm_source([nodes[0].url, proxy.url], quorum=2, multicall_size=1, **options) as source:
            reading = await source.fetch_balances()
    assert [(balance.account, balance.amount) for balance in reading.balances] == [("cold", KNOWN["cold"])]
    assert [(one.account, one.reason) for one in reading.failures] == [("hot", FailureReason.RATE_LIMITED)]
