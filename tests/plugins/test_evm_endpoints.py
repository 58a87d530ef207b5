"""The `evm` source on several endpoints: which one is used, and what happens to those that fail."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.plugin import FailureReason, Reading, SourceError
from reservd_evm.source import EvmSource
from support.chain import Anvil
from support.evm import addresses, evm_source
from support.nodes import nodes_like
from support.proxy import RpcProxy

SECRET = "0123456789abcdef"
KNOWN = {"cold": Decimal(5), "hot": Decimal(7)}


@pytest.fixture(params=[True, False], ids=["multicall", "plain calls"])
def options(request: pytest.FixtureRequest, chain: Anvil) -> dict[str, Any]:
    """Two accounts that hold 5 and 7 of a token."""
    if request.param:
        chain.install_multicall()
    cold, hot = addresses(2)
    token = chain.deploy_token(decimals=6)
    chain.transfer_many(token, {cold: 5_000_000, hot: 7_000_000})
    return {"accounts": {"cold": cold, "hot": hot}, "assets": {"USDT": {"token": token}}}


@pytest.fixture
async def proxies(chain: Anvil) -> AsyncIterator[list[RpcProxy]]:
    """Three endpoints of one node."""
    async with AsyncExitStack() as running:
        yield [await running.enter_async_context(RpcProxy(chain.url)) for _ in range(3)]


def urls(proxies: list[RpcProxy]) -> list[Any]:
    names = ("first", "second", "third")
    return [{"url": proxy.url + SECRET, "name": name} for name, proxy in zip(names, proxies, strict=False)]


def amounts(reading: Reading) -> dict[str, Decimal]:
    assert reading.failures == []
    return {balance.account: balance.amount for balance in reading.balances}


async def in_time(source: EvmSource) -> Reading:
    """Return the first reading that is not too slow, as readings may be on a busy machine."""
    while True:
        try:
            return await source.fetch_balances()
        except SourceError as error:
            if error.reason is not FailureReason.TIMEOUT:
                raise


def readings(proxy: RpcProxy) -> int:
    """Return how often balances were read from an endpoint, not just its blocks."""
    return sum("eth_call" in str(request) for request in proxy.requests)


def hang(proxy: RpcProxy) -> None:
    proxy.hang()


def say_html(proxy: RpcProxy) -> None:
    proxy.answer(200, b"<html>please pay</html>")


def rate_limit(proxy: RpcProxy) -> None:
    proxy.answer(429)


def be_on_another_chain(proxy: RpcProxy) -> None:
    proxy.alter(lambda answers: [answers[0] | {"result": "0x1"}, *answers[1:]])


def be_syncing(proxy: RpcProxy) -> None:
    progress = {"startingBlock": "0x0", "currentBlock": "0x1", "highestBlock": "0xffff"}
    proxy.alter(lambda answers: [answers[0], answers[1] | {"result": progress}, *answers[2:]])


def stand_still(proxy: RpcProxy) -> None:
    def age(answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer["result"], dict):
                answer["result"]["timestamp"] = hex(int(answer["result"]["timestamp"], 16) - 400)
        return answers

    proxy.alter(age)


def limit_calls(proxy: RpcProxy) -> None:
    error = {"error": {"code": -32005, "message": "slow"}}

    def refuse(answers: list[Any]) -> list[Any]:
        calls = proxy.requests[-1]
        return [
            answer | (error if call["method"] == "eth_call" else {})
            for call, answer in zip(calls, answers, strict=True)
        ]

    proxy.alter(refuse)


ILLS = [
    (hang, FailureReason.TIMEOUT, "no answer within"),
    (say_html, FailureReason.INVALID_DATA, "not JSON"),
    (rate_limit, FailureReason.RATE_LIMITED, "HTTP 429"),
    (be_on_another_chain, FailureReason.INVALID_DATA, "on chain 1, not on chain_id 31337"),
    (be_syncing, FailureReason.INVALID_DATA, "still syncing"),
    (stand_still, FailureReason.INVALID_DATA, "s old, max_block_age is 300 s"),
]


@pytest.mark.parametrize(("fall_ill", "reason", "detail"), [*ILLS, (limit_calls, FailureReason.RATE_LIMITED, "-32005")])
async def test_next_endpoint_serves_when_the_preferred_one_fails(
    proxies: list[RpcProxy],
    options: dict[str, Any],
    fall_ill: Callable[[RpcProxy], None],
    reason: FailureReason,
    detail: str,
) -> None:
    """The failure is logged once, without the URL, and does not delay the next reading."""
    first, second, third = proxies
    limit = {"endpoint_timeout": 3} if fall_ill is hang else {}  # long enough for an endpoint that answers
    with capture_logs() as logs:
        async with evm_source(urls(proxies), **options, **limit) as source:
            before = await source.fetch_balances()
            fall_ill(first)
            assert await source.fetch_balances() == before
            asked = len(first.requests)
            assert await source.fetch_balances() == before
    assert len(first.requests) == asked
    assert second.requests
    assert third.requests == []
    assert amounts(before) == KNOWN
    (failed,) = [log for log in logs if log["event"] == "endpoint.failed"]
    assert (failed["endpoint"], failed["reason"], failed["source"]) == ("first", reason, "evm")
    assert detail in failed["detail"]
    assert [log["endpoints"] for log in logs if log["event"] == "endpoint.chosen"] == [("first",), ("second",)]
    assert SECRET not in str(logs)


@pytest.mark.parametrize(("fall_ill", "reason", "detail"), ILLS)
async def test_source_fails_with_its_reason_when_the_only_endpoint_fails(
    proxies: list[RpcProxy],
    options: dict[str, Any],
    fall_ill: Callable[[RpcProxy], None],
    reason: FailureReason,
    detail: str,
) -> None:
    first, *_ = proxies
    async with evm_source(first.url, **options, timeout=0.5 if fall_ill is hang else 30) as source:
        fall_ill(first)
        with pytest.raises(SourceError, match=detail) as failed:
            await source.fetch_balances()
        assert failed.value.reason is reason
        first.heal()
        assert amounts(await in_time(source)) == KNOWN


async def test_reading_is_the_same_when_one_of_three_nodes_is_killed(chain: Anvil, options: dict[str, Any]) -> None:
    with nodes_like(chain, 2) as others:
        nodes = [chain, *others]
        async with evm_source([node.url for node in nodes], **options) as source:
            before = await source.fetch_balances()
            chain.stop()
            assert await source.fetch_balances() == before
            others[0].stop()
            assert await source.fetch_balances() == before
    assert amounts(before) == KNOWN


async def test_preferred_endpoint_serves_again_when_a_probe_succeeds(
    proxies: list[RpcProxy], options: dict[str, Any]
) -> None:
    """Probes run beside the readings: one that hangs delays none."""
    first, second, _ = proxies
    with capture_logs() as logs:
        async with evm_source(urls(proxies), **options, endpoint_timeout=2, probe_interval=0.02) as source:
            first.hang()
            await source.fetch_balances()
            first.heal()
            while not any(log["event"] == "endpoint.recovered" for log in logs):
                await source.fetch_balances()
                await asyncio.sleep(0.01)
            served = readings(second)
            assert amounts(await source.fetch_balances()) == KNOWN
            assert readings(second) == served
    chosen = [log["endpoints"] for log in logs if log["event"] == "endpoint.chosen"]
    assert chosen in ([("second",), ("first",)], [("second",)])


@pytest.mark.parametrize("fall_ill", [rate_limit, limit_calls])
async def test_endpoint_stays_last_when_its_probes_fail(
    proxies: list[RpcProxy], options: dict[str, Any], fall_ill: Callable[[RpcProxy], None]
) -> None:
    """Its failure is logged once."""
    first, *_ = proxies
    with capture_logs() as logs:
        async with evm_source(urls(proxies), **options, probe_interval=0.001) as source:
            fall_ill(first)
            before = await source.fetch_balances()
            asked = len(first.requests)
            while len(first.requests) < asked + 6:
                assert await source.fetch_balances() == before
                await asyncio.sleep(0.01)
    assert amounts(before) == KNOWN
    assert [log["event"] for log in logs] == ["endpoint.failed", "endpoint.chosen"]


async def test_endpoint_that_is_not_needed_is_found_dead_before_its_turn(
    proxies: list[RpcProxy], options: dict[str, Any]
) -> None:
    """It is only asked for its blocks, does not delay readings, and is used again once it answers."""
    first, second, third = proxies
    async with evm_source(urls(proxies), **options, probe_interval=0.02) as source:
        third.answer(502)

        async def until(health: dict[str, bool]) -> None:
            while source.client.health != health:
                assert amounts(await source.fetch_balances()) == KNOWN
                await asyncio.sleep(0.01)

        well = {"first": True, "second": True, "third": True}
        assert source.client.health == well
        await until(well | {"third": False})
        third.heal()
        await until(well)
    assert second.requests
    assert readings(second) == 0
    assert readings(first)


async def test_probe_is_ended_when_the_source_is_closed(proxies: list[RpcProxy], options: dict[str, Any]) -> None:
    """A task left behind would cause a warning, and so an error."""
    first, *_ = proxies
    async with evm_source(urls(proxies), **options, endpoint_timeout=10, probe_interval=0.001) as source:
        first.answer(429)
        await source.fetch_balances()
        first.heal()
        first.hang()
        asked = len(first.requests)
        while len(first.requests) == asked:
            await source.fetch_balances()
            await asyncio.sleep(0.01)


async def test_failures_of_all_endpoints_are_named_when_none_answers(
    proxies: list[RpcProxy], options: dict[str, Any]
) -> None:
    first, second, third = proxies
    async with evm_source(urls(proxies), **options) as source:
        first.answer(429)
        second.answer(502)
        third.answer(200, b"<html>")
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
        assert failed.value.reason is FailureReason.RATE_LIMITED
        assert "endpoint first: rate_limited: HTTP 429; endpoint second: rejected: HTTP 502" in failed.value.detail
        assert SECRET not in str(failed.value)
        third.heal()
        assert amounts(await source.fetch_balances()) == KNOWN


@pytest.mark.parametrize("asked", [(60, 300, None), (300, 60, 120)])
async def test_host_is_told_to_wait_when_all_endpoints_ask_to_be_left_alone(
    proxies: list[RpcProxy], options: dict[str, Any], asked: tuple[int | None, ...]
) -> None:
    async with evm_source(urls(proxies), **options) as source:
        for proxy, seconds in zip(proxies, asked, strict=True):
            proxy.answer(429, **({"Retry_After": str(seconds)} if seconds is not None else {}))
        with pytest.raises(SourceError) as failed:
            await source.fetch_balances()
    assert failed.value.retry_after_seconds == (None if None in asked else 60)


async def test_endpoint_that_asks_to_be_left_alone_is_not_tried_meanwhile(
    proxies: list[RpcProxy], options: dict[str, Any]
) -> None:
    """The third endpoint is tried as often as before."""
    first, _, third = proxies
    async with evm_source(urls(proxies), **options, probe_interval=0.001) as source:
        first.answer(429, Retry_After="60")
        await source.fetch_balances()
        asked, others = len(first.requests), len(third.requests)
        while len(third.requests) < others + 3:
            assert amounts(await source.fetch_balances()) == KNOWN
            await asyncio.sleep(0.01)
    assert len(first.requests) == asked


async def test_reading_holds_what_could_be_read_when_no_endpoint_can_read_all(
    chain: Anvil, proxies: list[RpcProxy], options: dict[str, Any]
) -> None:
    chain.set_ether(dict.fromkeys(options["accounts"].values(), 10**18))
    assets = options["assets"] | {"ETH": {"native": True}}
    for proxy in proxies:
        limit_calls(proxy)
    async with evm_source(urls(proxies), accounts=options["accounts"], assets=assets, multicall_size=1) as source:
        reading = await source.fetch_balances()
    assert {(balance.asset, balance.amount) for balance in reading.balances} <= {("ETH", Decimal(1))}
    assert {failure.reason for failure in reading.failures} == {FailureReason.RATE_LIMITED}
