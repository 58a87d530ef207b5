"""Which block the `evm` source reads: drops and rises, reorganisations, and nodes with limited features."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd.plugin import FailureReason, Reading, SourceError
from support.chain import Anvil
from support.contracts import MULTICALL3
from support.evm import addresses, evm_source
from support.proxy import RpcProxy

ETHER = 10**18
LAG = {"latest": 0, "safe": 32, "finalized": 64}
"""The number of blocks by which Anvil's tags lag."""


@pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
def options(request: pytest.FixtureRequest, chain: Anvil) -> dict[str, Any]:
    """Two accounts with 10 ether each since before the final block."""
    if request.param:
        chain.install_multicall()
    sender, keeper = addresses(2)
    for address in (sender, keeper):
        chain.transfer_ether(address, 10 * ETHER)
    chain.mine(70)
    return {"accounts": {"sender": sender, "keeper": keeper}, "assets": {"ETH": {"native": True}}}


def amounts(reading: Reading) -> dict[str, Decimal]:
    assert reading.failures == []
    return {balance.account: balance.amount for balance in reading.balances}


def blocks(reading: Reading) -> dict[str, int | None]:
    return {balance.account: balance.block for balance in reading.balances}


def move(chain: Anvil, options: dict[str, Any]) -> None:
    """Send 4 ether from one account to the other."""
    accounts = options["accounts"]
    chain.transfer_ether(accounts["keeper"], 4 * ETHER, sender=accounts["sender"])


@pytest.mark.parametrize("block", ["latest", "safe", "finalized"])
async def test_balance_is_that_of_the_configured_block(chain: Anvil, options: dict[str, Any], block: str) -> None:
    async with evm_source(chain.url, block=block, **options) as source:
        move(chain, options)
        moved_at = chain.block_number()
        for blocks_later in (0, LAG[block]):
            chain.mine(blocks_later)
            reading = await source.fetch_balances()
            read_at = chain.block_number() - LAG[block]
            header = chain.rpc("eth_getBlockByNumber", hex(read_at), False)
            assert set(blocks(reading).values()) == {read_at}
            observed = datetime.fromtimestamp(int(header["timestamp"], 16), UTC)
            assert {balance.observed_at for balance in reading.balances} == {observed}
            known = (6, 14) if read_at >= moved_at else (10, 10)
            assert amounts(reading) == {"sender": known[0], "keeper": known[1]}


@pytest.mark.parametrize("block", ["safe", "finalized"])
async def test_drop_counts_at_once_and_rise_once_it_is_settled(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any], block: str
) -> None:
    """Each balance names the block at which it was read; all of them exist at the newer one."""
    async with evm_source(proxy.url, block=block, believe_drops_from="latest", **options) as source:
        await source.fetch_balances()
        move(chain, options)
        proxy.requests.clear()
        reading = await source.fetch_balances()
        assert len(proxy.requests) == (1 if proxy.requests[0][-1]["method"] == "eth_getBlockByNumber" else 2)
        latest = chain.block_number()
        assert amounts(reading) == {"sender": 6, "keeper": 10}
        assert blocks(reading) == {"sender": latest, "keeper": latest - LAG[block]}
        header = chain.rpc("eth_getBlockByNumber", "latest", False)
        observed = datetime.fromtimestamp(int(header["timestamp"], 16), UTC)
        assert {balance.observed_at for balance in reading.balances} == {observed}
        chain.mine(LAG[block])
        reading = await source.fetch_balances()
        assert amounts(reading) == {"sender": 6, "keeper": 14}
        assert set(blocks(reading).values()) == {chain.block_number()}


async def test_account_is_unknown_when_one_of_both_blocks_cannot_be_read(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """The remaining balance alone may be too high."""
    chain.rpc("anvil_setCode", MULTICALL3, "0x")
    proxy.alter(
        lambda answers: [
            answer | ({"error": {"code": 3, "message": "no"}} if "eth_getBalance" in call["method"] and not n else {})
            for n, (call, answer) in enumerate(zip(proxy.requests[-1], answers, strict=True))
        ]
    )
    async with evm_source(proxy.url, block="finalized", believe_drops_from="latest", **options) as source:
        reading = await source.fetch_balances()
    assert [(failure.account, failure.reason) for failure in reading.failures] == [("sender", FailureReason.REJECTED)]
    assert [balance.account for balance in reading.balances] == ["keeper"]


def reorganise(chain: Anvil, options: dict[str, Any], *, times: int = 1) -> Callable[[Any], Any]:
    """Return a function that replaces the latest block by one with other transfers, after each of the first answers."""
    done = 0

    def pass_on(answers: Any) -> Any:
        nonlocal done
        if done < times:
            done += 1
            transfer = {"from": chain.accounts[1], "to": options["accounts"]["keeper"], "value": hex(done * ETHER)}
            before = chain.rpc("eth_getBlockByNumber", "latest", False)
            chain.rpc("anvil_reorg", 1, [[transfer, 0]])
            after = chain.rpc("eth_getBlockByNumber", "latest", False)
            assert before["number"] == after["number"]
            assert before["hash"] != after["hash"]
        return answers

    return pass_on


@pytest.mark.parametrize("takes_hashes", [True, False], ids=["hashes", "numbers"])
async def test_reading_is_of_the_block_that_stayed_when_the_chain_is_reorganised_in_between(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any], takes_hashes: bool
) -> None:
    """The replacement has the same number, parent and time."""
    async with evm_source(proxy.url, **options, batch_size=20, multicall_size=1) as source:
        refuse = refuse_hashes(proxy)
        reorg = reorganise(chain, options, times=2)
        proxy.alter(reorg if takes_hashes else lambda answers: reorg(refuse(answers)))
        reading = await source.fetch_balances()
    latest = chain.rpc("eth_getBlockByNumber", "latest", False)
    assert set(blocks(reading).values()) == {int(latest["number"], 16)}
    for name, address in options["accounts"].items():
        wei = int(chain.rpc("eth_getBalance", address, {"blockHash": latest["hash"]}), 16)
        assert amounts(reading)[name] == Decimal(wei).scaleb(-18)
    assert amounts(reading)["keeper"] > 10


async def test_source_fails_when_the_chain_never_stays(chain: Anvil, proxy: RpcProxy, options: dict[str, Any]) -> None:
    async with evm_source(proxy.url, **options, batch_size=4) as source:
        proxy.alter(reorganise(chain, options, times=100))
        with pytest.raises(SourceError, match="was replaced while it was read") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_balances_are_read_again_when_the_header_changed_beside_them(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """Number, time and parent may equal those of another block: only the hash tells them apart."""
    chain.install_multicall()
    async with evm_source(proxy.url, **options) as source:
        await source.fetch_balances()

        def rename(answers: list[Any]) -> list[Any]:
            if isinstance(answers[-1]["result"], dict):
                answers[-1]["result"]["hash"] = "0x" + "1" * 64
            return answers

        proxy.alter(rename)
        proxy.requests.clear()
        reading = await source.fetch_balances()
    assert amounts(reading) == {"sender": 10, "keeper": 10}
    assert len(proxy.requests) == 2
    assert "blockHash" in str(proxy.requests[1])


def refuse_hashes(proxy: RpcProxy) -> Callable[[Any], Any]:
    """Return a function that makes a node refuse EIP-1898."""
    error = {"error": {"code": -32602, "message": "invalid argument"}}

    def pass_on(answers: list[Any]) -> list[Any]:
        return [
            {"id": answer["id"]} | error if "blockHash" in str(call) else answer
            for call, answer in zip(proxy.requests[-1], answers, strict=True)
        ]

    return pass_on


async def test_numbers_are_used_and_checked_when_the_node_takes_no_hashes(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """Hashes are tried only once."""
    chain.rpc("anvil_setCode", MULTICALL3, "0x")
    proxy.alter(refuse_hashes(proxy))
    async with evm_source(proxy.url, **options) as source:
        assert amounts(await source.fetch_balances()) == {"sender": 10, "keeper": 10}
        proxy.requests.clear()
        assert amounts(await source.fetch_balances()) == {"sender": 10, "keeper": 10}
    methods = [{call["method"] for call in request} for request in proxy.requests]
    assert methods[1:] == [{"eth_getBalance"}, {"eth_getBlockByNumber"}]
    assert "blockHash" not in str(proxy.requests)


async def test_multicall_is_not_trusted_when_its_code_is_another(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """Other code at its address is not called, since its answers could not be trusted."""
    chain.install_multicall()
    code = chain.rpc("eth_getCode", MULTICALL3, "latest")
    chain.rpc("anvil_setCode", MULTICALL3, code[:-2] + "00")
    async with evm_source(proxy.url, **options) as source:
        for _ in range(2):
            proxy.requests.clear()
            assert amounts(await source.fetch_balances()) == {"sender": 10, "keeper": 10}
            assert len(proxy.requests) == 2
            assert "eth_call" not in str(proxy.requests)


@pytest.mark.parametrize("status", [400, 403, 413, 200])
async def test_calls_are_made_one_by_one_when_batches_are_refused(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any], status: int
) -> None:
    """By an HTTP status, or by one error for all; from then on calls are sent singly, a limited number at once."""
    if status == 200:
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}
        proxy.alter(lambda answers: error if isinstance(answers, list) else answers)
    else:
        proxy.refuse_batches(status)
    many = {f"empty{number}": address for number, address in enumerate(addresses(30)[2:])}
    accounts = options["accounts"] | many
    proxy.delay_seconds = 0.005
    async with evm_source(proxy.url, accounts=accounts, assets=options["assets"], concurrency=4) as source:
        first = amounts(await source.fetch_balances())
        proxy.requests.clear()
        assert amounts(await source.fetch_balances()) == first
    assert first == {"sender": 10, "keeper": 10} | dict.fromkeys(many, 0)
    assert all(isinstance(request, dict) for request in proxy.requests)
    assert proxy.most_at_once <= 4


async def test_syncing_is_ignored_when_the_node_will_not_say(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    error = {"error": {"code": -32601, "message": "the method does not exist"}}
    proxy.alter(
        lambda answers: [
            a | error if c["method"] == "eth_syncing" else a for c, a in zip(proxy.requests[-1], answers, strict=True)
        ]
    )
    async with evm_source(proxy.url, **options) as source:
        assert amounts(await source.fetch_balances()) == {"sender": 10, "keeper": 10}


async def test_source_fails_when_the_node_does_not_know_the_tag(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    error = {"error": {"code": -32602, "message": "unknown block"}}
    proxy.alter(
        lambda answers: [
            a | error if "finalized" in str(c) else a for c, a in zip(proxy.requests[-1], answers, strict=True)
        ]
    )
    async with evm_source(proxy.url, block="finalized", **options) as source:
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.REJECTED
