"""The key of a `ccxt` source: its rights, other users of it, and that it is never shown."""

import asyncio
import logging
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from reservd.plugin import FailureReason, SourceError
from reservd_ccxt import registry
from support.exchange_server import KEY, ExchangeServer
from support.exchanges import Binance, Kraken, Okx
from support.holdings import BALANCE_PATH, Build, but_clocks, failed, hold, only_balance


async def test_reading_is_rejected_when_the_secret_is_wrong(exchange: ExchangeServer, source: Build) -> None:
    async with source(exchange, secret="d3Jvbmcgc2VjcmV0") as opened:
        error = await failed(opened)
    assert error.reason is FailureReason.REJECTED
    assert "Error, code " in error.detail


@pytest.mark.parametrize(
    ("rights", "named"),
    [
        ({"may_trade": True}, "allow_trading_key"),
        ({"may_withdraw": True}, "allow_withdrawing_key"),
        ({"may_trade": True, "may_withdraw": True}, "allow_withdrawing_key"),
    ],
)
async def test_key_is_refused_when_it_may_do_more_than_read(
    exchange: ExchangeServer, source: Build, rights: dict[str, bool], named: str
) -> None:
    for right, value in rights.items():
        setattr(exchange, right, value)
    with capture_logs() as logs:
        async with source(exchange) as opened:
            for _ in range(2):
                error = await failed(opened)
                assert error.reason is FailureReason.REJECTED
                assert named in error.detail
    assert [line["event"] for line in logs if line["event"].startswith("key")] == ["key.refused"]
    assert BALANCE_PATH[exchange.exchange] not in exchange.calls


async def test_key_is_used_and_named_in_the_log_when_an_option_allows_it(
    exchange: ExchangeServer, source: Build
) -> None:
    hold(exchange, USDT=("5", "0"))
    exchange.may_trade = exchange.may_withdraw = True
    with capture_logs() as logs:
        async with source(exchange, allow_trading_key=True, allow_withdrawing_key=True) as opened:
            for _ in range(2):
                assert only_balance(await opened.fetch_balances()).amount == 5
    assert [(line["event"], line["log_level"]) for line in but_clocks(logs)] == [("key.allowed", "warning")]


async def test_key_is_used_with_a_warning_when_the_exchange_does_not_tell_its_rights(
    binance: Binance, source: Build
) -> None:
    binance.answer("apiRestrictions", '{"ipRestrict": false}')
    with capture_logs() as logs:
        async with source(binance) as opened:
            for _ in range(2):
                await opened.fetch_balances()
    assert [line["event"] for line in but_clocks(logs)] == ["key.not_checked"]


async def test_key_is_used_with_a_warning_when_it_may_not_ask_for_its_rights(kraken: Kraken, source: Build) -> None:
    kraken.answer("GetApiKeyInfo", '{"error": ["EGeneral:Permission denied"]}')
    with capture_logs() as logs:
        async with source(kraken) as opened:
            await opened.fetch_balances()
    assert [line["event"] for line in but_clocks(logs)] == ["key.not_checked"]


async def test_key_is_in_no_log_when_everything_is_logged(
    exchange: ExchangeServer, source: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """By default ccxt logs each request with its headers."""
    caplog.set_level(logging.DEBUG)
    async with source(exchange) as opened:
        await opened.fetch_balances()
    assert KEY not in caplog.text


async def test_instances_of_one_key_share_limiter_clock_and_nonce(kraken: Kraken, source: Build) -> None:
    hold(kraken, USDT=("5", "0"))
    async with source(kraken, name="one") as one:
        async with source(kraken, name="two", allow_trading_key=True) as two:
            readings = await asyncio.gather(*(each.fetch_balances() for each in [one, two] * 10))
            assert {only_balance(reading).amount for reading in readings} == {Decimal(5)}
            assert one._shared is two._shared
        assert only_balance(await one.fetch_balances()).amount == 5
        assert len(registry._in_use) == 1
    assert registry._in_use == {}
    assert kraken.refused_for_time == 0
    for path in ("/0/public/Time", "/0/public/Assets", "/0/private/GetApiKeyInfo"):
        assert kraken.calls.count(path) == 1


async def test_instance_is_refused_when_another_uses_its_key_in_another_way(kraken: Kraken, source: Build) -> None:
    async with source(kraken):
        with pytest.raises(SourceError, match="another source uses this key") as refused:
            await source(kraken, rate_limit_ms=7).__aenter__()
    assert KEY not in str(refused.value)
    assert registry._in_use == {}


async def test_okx_needs_its_passphrase(source: Build) -> None:
    async with Okx() as server, source(server, password=None) as opened:
        assert "okx needs password" in (await failed(opened)).detail
