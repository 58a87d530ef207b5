"""The `ccxt` source while an exchange does not answer, answers rubbish, or has another time."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.plugin import FailureReason
from support.exchange_server import KEY, SECRET, ExchangeServer
from support.exchanges import Binance, Bybit, Kraken
from support.holdings import BALANCE_PATH, Build, failed, hold, only_balance

NO_LISTS = ["{}", "[]", '{"balances": null}', '{"result": []}', "<html>maintenance</html>", "", "[" * 9999]


@pytest.mark.parametrize("body", NO_LISTS, ids=lambda body: body[:20])
async def test_reading_fails_when_the_answer_is_no_list_of_balances(
    exchange: ExchangeServer, source: Build, body: str
) -> None:
    """The library takes each of these for an account without balances."""
    hold(exchange, USDT=("5", "0"))
    async with source(exchange) as opened:
        assert only_balance(await opened.fetch_balances()).amount == 5
        exchange.answer(BALANCE_PATH[exchange.exchange], body)
        assert (await failed(opened)).reason in {FailureReason.INVALID_DATA, FailureReason.REJECTED}
        exchange.heal()
        assert only_balance(await opened.fetch_balances()).amount == 5


@pytest.mark.parametrize("body", ["<html>back soon</html>", ""])
async def test_operator_is_told_when_an_answer_is_no_json(exchange: ExchangeServer, source: Build, body: str) -> None:
    hold(exchange, USDT=("5", "0"))
    async with source(exchange) as opened:
        await opened.fetch_balances()
        exchange.answer(BALANCE_PATH[exchange.exchange], body)
        error = await failed(opened)
    assert (error.reason, error.detail) == (
        FailureReason.INVALID_DATA,
        f"{exchange.exchange}: the answer is not JSON",
    )


async def test_reading_is_rejected_when_a_maintenance_page_stands_before_the_exchange(
    exchange: ExchangeServer, source: Build
) -> None:
    async with source(exchange) as opened:
        exchange.answer("/", f"<html>down for maintenance, {SECRET}</html>", status=503, Content_Type="text/html")
        error = await failed(opened)
    assert error.reason is FailureReason.REJECTED
    assert "HTTP 503" in error.detail


async def test_exchange_is_left_alone_for_as_long_as_it_asks(exchange: ExchangeServer, source: Build) -> None:
    async with source(exchange) as opened:
        await opened.fetch_balances()
        exchange.answer("/", "{}", status=429, Retry_After="120")
        assert (await failed(opened)).reason is FailureReason.RATE_LIMITED
        exchange.heal()
        asked = len(exchange.calls)
        error = await failed(opened)
    assert error.reason is FailureReason.RATE_LIMITED
    assert "asked for a pause" in error.detail
    assert len(exchange.calls) == asked


async def test_host_is_told_when_an_exchange_under_maintenance_asks_to_be_left_alone(
    binance: Binance, source: Build
) -> None:
    """The host pauses the source; other requests to the exchange may work."""
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", "{}", status=503, Retry_After="120")
        for _ in range(2):
            error = await failed(opened)
            assert (error.reason, error.retry_after_seconds) == (FailureReason.REJECTED, 120)
        binance.answer("/api/v3/account", "{}", status=503)
        assert (await failed(opened)).retry_after_seconds is None


async def test_no_request_has_a_wrong_time_when_the_clocks_differ_from_the_start(
    exchange: ExchangeServer, source: Build
) -> None:
    exchange.clock_ahead_ms = -90_000
    hold(exchange, USDT=("5", "0"))
    with capture_logs() as logs:
        async with source(exchange) as opened:
            assert only_balance(await opened.fetch_balances()).amount == 5
    assert exchange.refused_for_time == 0
    skewed = [line["ahead_ms"] for line in logs if line["event"] == "clock.skewed"]
    assert len(skewed) == 1
    assert skewed[0] < -60_000, "the exchange's clock is behind"


async def test_reading_goes_on_when_the_clock_jumps(exchange: ExchangeServer, source: Build) -> None:
    hold(exchange, USDT=("5", "0"))
    async with source(exchange) as opened:
        await opened.fetch_balances()
        exchange.clock_ahead_ms = 90_000
        if isinstance(exchange, Kraken):
            exchange.last_nonces[KEY] = exchange.now_ms() - 30_000
        assert only_balance(await opened.fetch_balances()).amount == 5
    assert exchange.refused_for_time == 1


async def test_reading_is_rejected_when_measuring_the_clock_does_not_help(
    exchange: ExchangeServer, source: Build
) -> None:
    async with source(exchange) as opened:
        await opened.fetch_balances()
        if isinstance(exchange, Kraken):
            exchange.last_nonces[KEY] = exchange.now_ms() + 90_000_000
        else:
            exchange.check_time = lambda _sent, refusal: (_ for _ in ()).throw(refusal)  # type: ignore[method-assign]
        asked = exchange.calls.count(BALANCE_PATH[exchange.exchange])
        error = await failed(opened)
    assert error.reason is FailureReason.REJECTED
    assert "InvalidNonce" in error.detail
    assert exchange.calls.count(BALANCE_PATH[exchange.exchange]) == asked + 2


async def test_answer_is_refused_when_it_does_not_end(
    binance: Binance, source: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reservd_ccxt.client._MAX_ANSWER_BYTES", 100_000)
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", " " * 200_000)
        error = await failed(opened)
    assert (error.reason, "too large" in error.detail) == (FailureReason.INVALID_DATA, True)


async def test_reading_is_unreachable_when_nobody_listens(source: Build) -> None:
    async with source(Binance()) as opened:  # a server that was never started
        assert (await failed(opened)).reason is FailureReason.UNREACHABLE


async def test_redirect_is_not_followed(binance: Binance, source: Build) -> None:
    """It would send the key to another server."""
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", "", status=302, Location=f"{binance.url}/elsewhere")
        error = await failed(opened)
    assert (error.reason, "redirect" in error.detail) == (FailureReason.REJECTED, True)
    assert "/elsewhere" not in binance.calls


async def test_work_goes_on_when_the_first_reading_is_given_up(binance: Binance, source: Build) -> None:
    """Importing ccxt and loading coins may take longer than one timeout."""
    hold(binance, USDT=("5", "0"))
    async with source(binance) as opened:
        first = asyncio.create_task(opened.fetch_balances())
        await asyncio.sleep(0)
        first.cancel()
        assert only_balance(await opened.fetch_balances()).amount == 5
    assert binance.calls.count("/api/v3/time") == 1


async def test_one_account_fails_alone(binance: Binance, source: Build) -> None:
    hold(binance, USDT=("5", "0"))
    binance.answer("get-funding-asset", '{"code": -1000, "msg": "An unknown error occurred"}', status=400)
    accounts = {name: {"type": name, "assets": ["USDT"]} for name in ("spot", "funding")}
    async with source(binance, accounts=accounts) as opened:
        found = await opened.fetch_balances()
    assert [(balance.account, balance.amount) for balance in found.balances] == [("spot", 5)]
    assert [(failure.account, failure.asset) for failure in found.failures] == [("funding", None)]


async def test_timeout_is_told_when_the_exchange_hangs(source: Build) -> None:
    class Hanging(Bybit):
        async def _handle(self, request: Any) -> Any:
            await asyncio.Event().wait()

    async with Hanging() as server, source(server, timeout=0.2) as opened:
        assert (await failed(opened)).reason is FailureReason.TIMEOUT
