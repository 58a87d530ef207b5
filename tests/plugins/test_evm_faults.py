"""The reasons that the `evm` source gives when its node, or a proxy before it, misbehaves."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from reservd.plugin import FailureReason, SourceError
from support.chain import Anvil
from support.evm import addresses, evm_source
from support.proxy import RpcProxy

SECRET = "0123456789abcdef"
KNOWN = {"cold": Decimal(5), "hot": Decimal(7)}


@pytest.fixture
def options(chain: Anvil) -> dict[str, Any]:
    """Two accounts that hold 5 and 7 of a token."""
    cold, hot = addresses(2)
    token = chain.deploy_token(decimals=6)
    chain.transfer_many(token, {cold: 5_000_000, hot: 7_000_000})
    return {"accounts": {"cold": cold, "hot": hot}, "assets": {"USDT": {"token": token}}}


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, b"", FailureReason.RATE_LIMITED),
        (401, b"", FailureReason.REJECTED),
        (302, b"", FailureReason.REJECTED),
        (502, b"<html>bad gateway</html>", FailureReason.REJECTED),
        (200, b"", FailureReason.INVALID_DATA),
        (200, b"<html>please pay</html>", FailureReason.INVALID_DATA),
        (200, b'[{"jsonrpc": "2.0", "id": 0, "resu', FailureReason.INVALID_DATA),
        (200, b"\xff\xfe", FailureReason.INVALID_DATA),
        (200, b"null", FailureReason.INVALID_DATA),
        (200, b"[]", FailureReason.INVALID_DATA),
        (200, b'[null, 1, {}, {"jsonrpc": "2.0", "id": 0}, {"jsonrpc": "2.0", "id": 1}]', FailureReason.INVALID_DATA),
        (200, b"[" * 100_000, FailureReason.INVALID_DATA),
        (
            200,
            b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32005, "message": "slow"}}',
            FailureReason.RATE_LIMITED,
        ),
        (200, b'{"jsonrpc": "2.0", "id": null, "error": {"code": 429, "message": "slow"}}', FailureReason.RATE_LIMITED),
        (200, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32601, "message": "no"}}', FailureReason.REJECTED),
        (200, b'{"jsonrpc": "2.0", "id": null, "error": {"code": "no"}}', FailureReason.INVALID_DATA),
        (200, b'{"jsonrpc": "2.0", "id": null, "error": "no"}', FailureReason.INVALID_DATA),
    ],
)
async def test_source_fails_with_its_reason_when_the_provider_answers_this(
    proxy: RpcProxy, options: dict[str, Any], status: int, body: bytes, reason: FailureReason
) -> None:
    async with evm_source(proxy.url + SECRET, **options) as source:
        proxy.answer(status, body)
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
        assert failed.value.reason is reason
        assert SECRET not in str(failed.value)
        proxy.heal()
        assert {balance.account: balance.amount for balance in (await source.fetch_balances()).balances} == KNOWN


async def test_source_times_out_when_the_provider_hangs(proxy: RpcProxy, options: dict[str, Any]) -> None:
    async with evm_source(proxy.url, **options, timeout=0.3) as source:
        proxy.hang()
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.TIMEOUT


@pytest.mark.parametrize("multicall", [True, False], ids=["multicall", "plain calls"])
async def test_reading_is_whole_when_answers_come_out_of_order(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any], multicall: bool
) -> None:
    if multicall:
        chain.install_multicall()
    proxy.alter(lambda answers: answers[::-1])
    async with evm_source(proxy.url, **options, multicall_size=1) as source:
        for _ in range(2):
            reading = await source.fetch_balances()
            assert {balance.account: balance.amount for balance in reading.balances} == KNOWN


def _last(change: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """Return a function that changes the last answer of a batch."""
    return lambda answers: [*answers[:-1], answers[-1] | change]


def _last_chunk(change: dict[str, Any]) -> Callable[[list[Any]], list[Any]]:
    """Return a function that changes the last answer of Multicall3, which is followed by the repeated header."""
    return lambda answers: [*answers[:-2], answers[-2] | change, answers[-1]]


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        (None, FailureReason.INVALID_DATA),
        ({"id": "1"}, FailureReason.INVALID_DATA),
        ({"id": True}, FailureReason.INVALID_DATA),
        ({"result": None}, FailureReason.INVALID_DATA),
        ({"result": 5}, FailureReason.INVALID_DATA),
        ({"result": "0x"}, FailureReason.INVALID_DATA),
        ({"result": "0xzz"}, FailureReason.INVALID_DATA),
        ({"result": "0x" + "0" * 62}, FailureReason.INVALID_DATA),
        ({"result": "0x" + "0" * 66}, FailureReason.INVALID_DATA),
        ({"error": {"code": 3, "message": "execution reverted"}}, FailureReason.REJECTED),
        ({"error": {"code": -32005, "message": "slow"}}, FailureReason.RATE_LIMITED),
    ],
)
async def test_account_fails_alone_when_its_answer_is_spoilt(
    proxy: RpcProxy, options: dict[str, Any], spoilt: dict[str, Any] | None, reason: FailureReason
) -> None:
    """The last plain call of a reading is the last account's balance."""
    async with evm_source(proxy.url, **options) as source:
        await source.fetch_balances()
        requests = len(proxy.requests)

        def spoil(answers: list[Any]) -> list[Any]:
            if len(proxy.requests) != requests + 2:
                return answers
            return answers[:-1] if spoilt is None else _last(spoilt)(answers)

        proxy.alter(spoil)
        reading = await source.fetch_balances()
    assert {balance.account: balance.amount for balance in reading.balances} == {"cold": KNOWN["cold"]}
    assert [(f.account, f.asset, f.reason) for f in reading.failures] == [("hot", "USDT", reason)]


async def test_plain_calls_read_what_multicall_could_not(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """The second of two calls of Multicall3 is refused, as above a provider's gas limit."""
    chain.install_multicall()
    error = {"error": {"code": -32000, "message": "out of gas"}}
    async with evm_source(proxy.url, **options, multicall_size=1) as source:
        await source.fetch_balances()
        requests = len(proxy.requests)
        proxy.alter(lambda answers: _last_chunk(error)(answers) if len(proxy.requests) == requests + 1 else answers)
        reading = await source.fetch_balances()
        assert len(proxy.requests) == requests + 2
    assert {balance.account: balance.amount for balance in reading.balances} == KNOWN
    assert len({balance.block for balance in reading.balances}) == 1


async def test_account_fails_alone_when_the_plain_calls_for_it_fail(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """What Multicall3 read before is kept."""
    chain.install_multicall()

    def refuse_then_fail(answers: list[Any]) -> Any:
        error = {"error": {"code": -32000, "message": "out of gas"}}
        return _last_chunk(error)(answers) if len(proxy.requests) == 1 else error

    async with evm_source(proxy.url, **options, multicall_size=1) as source:
        await source.fetch_balances()
        proxy.requests.clear()
        proxy.alter(refuse_then_fail)
        reading = await source.fetch_balances()
    assert [balance.account for balance in reading.balances] == ["cold"]
    assert [(f.account, f.reason) for f in reading.failures] == [("hot", FailureReason.REJECTED)]


async def test_accounts_fail_alone_when_multicall_is_rate_limited_for_them(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """After a rate limit the source must not make more calls instead."""
    chain.install_multicall()
    error = {"error": {"code": -32005, "message": "slow"}}
    async with evm_source(proxy.url, **options, multicall_size=1) as source:
        await source.fetch_balances()
        proxy.requests.clear()
        proxy.alter(_last_chunk(error))
        reading = await source.fetch_balances()
    assert len(proxy.requests) == 1
    assert [(f.account, f.reason) for f in reading.failures] == [("hot", FailureReason.RATE_LIMITED)]
    assert [balance.account for balance in reading.balances] == ["cold"]


async def test_reading_is_refused_when_the_node_answers_from_another_block(
    chain: Anvil, proxy: RpcProxy, options: dict[str, Any]
) -> None:
    """The header has one time, the calls by its number another."""
    chain.install_multicall()

    def shift(answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer["result"], dict):
                answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) - 1)
        return answers

    async with evm_source(proxy.url, **options) as source:
        proxy.alter(shift)
        with pytest.raises(SourceError, match="does not answer from block") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


@pytest.mark.parametrize(
    "header",
    [
        None,
        {},
        {"number": "0x1"},
        {"number": 1, "timestamp": 1},
        {"number": "0x1", "timestamp": "0x1"},
        {"number": "0x1", "timestamp": "0x1", "hash": "0x" + "1" * 64, "parentHash": "0x1"},
        {"number": "0x1", "timestamp": "0x" + "f" * 40, "hash": "0x" + "1" * 64, "parentHash": "0x" + "0" * 64},
    ],
)
async def test_source_fails_when_the_latest_block_is_no_block(
    proxy: RpcProxy, options: dict[str, Any], header: object
) -> None:
    def replace(answers: list[Any]) -> list[Any]:
        return [a | {"result": header} if isinstance(a["result"], dict) else a for a in answers]

    async with evm_source(proxy.url, **options) as source:
        proxy.alter(replace)
        with pytest.raises(SourceError, match="latest block") as failed:
            await source.fetch_balances()
    assert failed.value.reason is FailureReason.INVALID_DATA


async def test_source_that_is_not_open_fails(options: dict[str, Any]) -> None:
    with pytest.raises(SourceError) as failed:
        await evm_source("http://127.0.0.1:9/", **options).fetch_balances()
    assert failed.value.reason is FailureReason.INTERNAL
