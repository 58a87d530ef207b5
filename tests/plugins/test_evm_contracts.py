"""Sources that read contracts work as for wallets: failover, quorum, one block, reorganisations."""

from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from reservd.plugin import BalanceSource, EquitySource, FailureReason, SourceError
from reservd_aave_v3.balances import AaveV3BalanceSource
from reservd_aave_v3.equity import AaveV3EquitySource
from reservd_chainlink.source import ChainlinkPriceSource
from reservd_erc4626.balances import Erc4626BalanceSource
from reservd_erc4626.equity import Erc4626EquitySource
from support.aave import AaveMarket
from support.chain import Anvil
from support.contracts import MULTICALL3
from support.feeds import Feed
from support.nodes import nodes_like
from support.proxy import RpcProxy
from support.vault import ONE, Vault

HOLDER = f"0x{0xC0DE_0000:040x}"
SOURCES = [
    Erc4626BalanceSource,
    Erc4626EquitySource,
    AaveV3BalanceSource,
    AaveV3EquitySource,
    ChainlinkPriceSource,
]

Build = Callable[..., Any]


class Scene(NamedTuple):
    """A source's class and options, and the amount that it reports."""

    cls: Any
    options: dict[str, Any]
    amount: Decimal = Decimal(5)


def vault_scene(cls: Any, chain: Anvil) -> Scene:
    vault = Vault(chain)
    vault.deposit(HOLDER, 5 * ONE)
    key = "accounts" if issubclass(cls, BalanceSource) else "positions"
    entry = {"vault": vault.address, "holder": HOLDER, "asset": "USDC"}

    return Scene(cls, {key: {"main": entry}})


def pool_scene(cls: Any, chain: Anvil) -> Scene:
    market = AaveMarket(chain)
    usdc = market.list_reserve("USDC", decimals=6, price=10**8)
    market.supply(HOLDER, usdc, 5 * ONE)

    return Scene(cls, {"pool": market.pool, "accounts": {"main": HOLDER}, "reserves": {"USDC": usdc}})


def feed_scene(cls: Any, chain: Anvil) -> Scene:
    feed = Feed(chain, "USDC / USD")
    feed.answers(5)

    return Scene(cls, {"feeds": {"USDC/USD": feed.options()}})


@pytest.fixture(params=SOURCES, ids=lambda cls: cls.__name__)
def scene(request: pytest.FixtureRequest, chain: Anvil) -> Scene:
    makers = {"erc4626": vault_scene, "aave_v3": pool_scene, "chainlink": feed_scene}
    return makers[request.param.PLUGIN_NAME](request.param, chain)


@pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
def multicall(request: pytest.FixtureRequest, chain: Anvil, scene: Scene) -> bool:
    if request.param:
        chain.install_multicall()
    return bool(request.param)


@pytest.fixture
def nodes(chain: Anvil, scene: Scene, multicall: bool) -> Iterator[list[Anvil]]:
    """Three nodes of one chain."""
    with nodes_like(chain, 2) as others:
        yield [chain, *others]


def source_on(build: Build, scene: Scene, *urls: str, **more: Any) -> Any:
    where = {"rpc_url": urls[0]} if len(urls) == 1 else {"rpc_urls": list(urls)}
    return build(scene.cls, {"chain_id": 31337, "timeout": 60, **where, **scene.options, **more})


async def read(source: Any) -> Any:
    """Return everything that the source reports, in a comparable form."""
    if isinstance(source, BalanceSource):
        reading = await source.fetch_balances()
        assert reading.failures == []
        return reading
    if isinstance(source, EquitySource):
        return await source.fetch_equity("USDC", "USDC")
    return await source.fetch_price("USDC", "USD")


def amount_of(told: Any) -> Decimal:
    if hasattr(told, "balances"):
        (balance,) = told.balances
        return Decimal(balance.amount)
    return Decimal(told.amount if hasattr(told, "amount") else told.value)


async def failure_of(reading: Awaitable[Any]) -> SourceError:
    with pytest.raises(SourceError) as failed:
        await reading
    return failed.value


async def test_nothing_changes_when_one_of_three_nodes_is_killed(
    build: Build, nodes: list[Anvil], scene: Scene
) -> None:
    """Each of the nodes in turn."""
    async with source_on(build, scene, *(node.url for node in nodes), probe_interval=0.01) as source:
        before = await read(source)
        assert amount_of(before) == scene.amount
        for node in nodes:
            node.stop()
            assert await read(source) == before
            node.start()


async def test_nothing_changes_when_one_node_of_a_quorum_is_killed(
    build: Build, nodes: list[Anvil], scene: Scene
) -> None:
    async with source_on(build, scene, *(node.url for node in nodes), quorum=2) as source:
        before = await read(source)
        assert amount_of(before) == scene.amount
        nodes[0].stop()
        assert await read(source) == before
        nodes[1].stop()
        failure = await failure_of(read(source))
        assert failure.reason is FailureReason.UNREACHABLE
        assert "http" not in failure.detail


async def test_source_fails_when_nodes_of_a_quorum_have_different_blocks(
    build: Build, nodes: list[Anvil], scene: Scene
) -> None:
    """Neither of them is believed, and no mean is formed."""
    for number, node in enumerate(nodes):
        node.transfer_ether(node.accounts[5], 1 + number)
    async with source_on(build, scene, *(node.url for node in nodes[:2]), quorum=2) as source:
        failure = await failure_of(read(source))
    assert failure.reason is FailureReason.INVALID_DATA
    assert "do not have the same block" in failure.detail


async def test_reading_is_of_one_branch_when_the_chain_is_reorganised_in_between(
    build: Build, chain: Anvil, proxy: RpcProxy, scene: Scene, multicall: bool
) -> None:
    """The block is replaced after every one of the first answers: what was read of it is read again."""
    replaced = 0

    def reorganise(answers: Any) -> Any:
        nonlocal replaced
        if replaced < 2:
            replaced += 1
            transfer = {"from": chain.accounts[1], "to": chain.accounts[2], "value": hex(replaced)}
            chain.rpc("anvil_reorg", 1, [[transfer, 0]])
        return answers

    chain.mine()  # what the scene needs stays
    async with source_on(build, scene, proxy.url) as source:
        proxy.alter(reorganise)
        told = await read(source)
    assert replaced == 2
    assert amount_of(told) == scene.amount


async def test_calls_are_pinned_to_the_hash_of_the_block(
    build: Build, proxy: RpcProxy, scene: Scene, multicall: bool
) -> None:
    async with source_on(build, scene, proxy.url) as source:
        await read(source)
        proxy.requests.clear()
        assert amount_of(await read(source)) == scene.amount
    calls = [call for request in proxy.requests[1:] for call in request]
    assert {type(call["params"][1]) for call in calls if call["method"] == "eth_call"} <= {dict}
    if not multicall:
        assert "blockHash" in str(calls)


async def test_multicall_is_not_trusted_when_its_code_is_another(
    build: Build, chain: Anvil, proxy: RpcProxy, scene: Scene
) -> None:
    chain.install_multicall()
    code = chain.rpc("eth_getCode", MULTICALL3, "latest")
    chain.rpc("anvil_setCode", MULTICALL3, code[:-2] + "00")
    async with source_on(build, scene, proxy.url) as source:
        for _ in range(2):
            assert amount_of(await read(source)) == scene.amount
    asked = {call["params"][0]["to"] for request in proxy.requests for call in request if call["method"] == "eth_call"}
    assert asked
    assert MULTICALL3.lower() not in {address.lower() for address in asked}


async def test_batches_are_left_when_the_endpoint_refuses_them(
    build: Build, proxy: RpcProxy, scene: Scene, multicall: bool
) -> None:
    proxy.refuse_batches(413)
    async with source_on(build, scene, proxy.url) as source:
        assert amount_of(await read(source)) == scene.amount


async def test_source_fails_when_the_chain_stands_still(build: Build, proxy: RpcProxy, scene: Scene) -> None:
    """With a second endpoint that follows the chain, nothing changes."""

    def age(answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer["result"], dict):
                answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) - 4000)
        return answers

    proxy.alter(age)
    async with source_on(build, scene, proxy.url, max_block_age=3000) as source:
        failure = await failure_of(read(source))
    assert (failure.reason, "max_block_age is 3000 s" in failure.detail) == (FailureReason.INVALID_DATA, True)
    async with source_on(build, scene, proxy.url, proxy._node_url, max_block_age=3000) as source:
        assert amount_of(await read(source)) == scene.amount


def test_options_of_the_connection_are_those_of_every_plugin_of_a_chain(build: Build, scene: Scene) -> None:
    named = [{"url": "http://a.example", "name": "2"}, "http://b.example"]
    with pytest.raises(ValidationError, match="name an endpoint by the place of another"):
        build(scene.cls, {"rpc_urls": named, "chain_id": 1, **scene.options})
    with pytest.raises(ValidationError, match="either rpc_url or rpc_urls"):
        build(scene.cls, {"chain_id": 1, **scene.options})
    with pytest.raises(ValidationError, match="at most the number of endpoints"):
        build(scene.cls, {"rpc_url": "http://a.example", "quorum": 2, "chain_id": 1, **scene.options})
