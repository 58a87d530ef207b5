"""The `ccxt` source against exchanges on loopback that behave like the real ones."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.plugin import FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract
from reservd_ccxt.source import CcxtSource
from support.exchange_server import ExchangeServer
from support.exchanges import Binance, Bitvavo, Bybit, Kraken, Okx
from support.holdings import Build, but_clocks, failed, hold, only_balance, only_failure


async def exhausted(stream: AsyncIterator[None]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize("text", ["40000.25", "0.000000000000000001", "123456789012345678901234567890.12345678"])
async def test_balance_is_exact_on_every_exchange(exchange: ExchangeServer, source: Build, text: str) -> None:
    hold(exchange, USDT=(text, "0"))
    async with source(exchange) as reading:
        balance = only_balance(await reading.fetch_balances())
    assert balance.amount == Decimal(text)
    assert str(balance.amount.normalize()) == str(Decimal(text).normalize())


async def test_balance_keeps_its_digits_when_the_exchange_sends_json_numbers(binance: Binance, source: Build) -> None:
    """The library parses JSON numbers as floats, which have 17 digits."""
    number = "1234567890123456789.123456789012345678"
    binance.answer("/api/v3/account", f'{{"balances": [{{"asset": "USDT", "free": {number}, "locked": 0.1}}]}}')
    async with source(binance) as opened:
        balance = only_balance(await opened.fetch_balances())
    assert balance.amount == Decimal(number)
    assert balance.locked == Decimal("0.1")


@pytest.mark.parametrize("exchange", [Binance, Bybit, Okx], indirect=True)
async def test_wallets_are_read_apart_when_accounts_have_types(exchange: ExchangeServer, source: Build) -> None:
    hold(exchange, USDT=("5", "0"))
    exchange.wallets["funding"] = {"USDT": ("7", "0"), "USDC": ("9", "0")}
    accounts = {
        "trading": {"type": "spot", "assets": ["USDT"]},
        "funding": {"type": "funding", "assets": ["USDT", "USDC"]},
    }
    async with source(exchange, accounts=accounts) as opened:
        found = await opened.fetch_balances()
    assert {(each.account, each.asset): each.amount for each in found.balances} == {
        ("trading", "USDT"): 5,
        ("funding", "USDT"): 7,
        ("funding", "USDC"): 9,
    }


async def test_coin_is_zero_when_the_account_is_empty_and_the_exchange_lists_it(
    exchange: ExchangeServer, source: Build
) -> None:
    hold(exchange)
    async with source(exchange) as opened:
        assert only_balance(await opened.fetch_balances()).amount == 0


async def test_binance_leaves_out_what_is_not_there_unless_the_request_is_the_users_own(
    binance: Binance, source: Build
) -> None:
    """Parsing hundreds of coins with a balance of 0 would block the event loop for milliseconds."""
    hold(binance, USDC=("0.00000000", "0.00000000"), USDT=("5", "0"))
    binance.wallets["funding"] = {"USDC": ("7", "0")}
    accounts = {"spot": {"assets": ["USDT", "USDC"]}, "funding": {"type": "funding", "assets": ["USDC"]}}
    sizes = []
    for options in ({}, {"options": {"recvWindow": 5000}}):
        async with source(binance, accounts=accounts, **options) as opened:
            found = {(each.account, each.asset): each.amount for each in (await opened.fetch_balances()).balances}
            assert found == {("spot", "USDT"): 5, ("spot", "USDC"): 0, ("funding", "USDC"): 7}
        sizes.append(binance.told_coins)
    assert sizes == [1, 2]


async def test_coin_is_unknown_when_the_exchange_does_not_list_it(exchange: ExchangeServer, source: Build) -> None:
    hold(exchange, USDT=("5", "0"))
    async with source(exchange, accounts={"main": {"assets": ["USDT", "TYPO"]}}) as opened:
        found = await opened.fetch_balances()
    assert [balance.asset for balance in found.balances] == ["USDT"]
    (failure,) = found.failures
    assert (failure.asset, failure.reason) == ("TYPO", FailureReason.INVALID_DATA)


async def test_coin_that_is_gone_is_zero_when_the_exchange_lists_it_still(
    exchange: ExchangeServer, source: Build
) -> None:
    hold(exchange, USDT=("5", "0"))
    async with source(exchange) as opened:
        await opened.fetch_balances()
        hold(exchange, USDC=("7", "0"))
        for _ in range(2):
            assert only_balance(await opened.fetch_balances()).amount == 0
            before = len(exchange.calls)
        await opened.fetch_balances()
        assert len(exchange.calls) == before + 1, "the list is read when the coin disappears, and not again"


async def test_coin_that_is_gone_is_unknown_when_the_exchange_lists_it_no_longer(
    exchange: ExchangeServer, source: Build
) -> None:
    """However recently the list was read."""
    hold(exchange, USDT=("5", "0"))
    async with source(exchange) as opened:
        await opened.fetch_balances()
        hold(exchange, USDC=("7", "0"))
        exchange.coins = {"USDC": True}
        for _ in range(2):
            assert only_failure(await opened.fetch_balances()).reason is FailureReason.INVALID_DATA


async def test_coin_is_unknown_when_the_exchange_does_not_tell_what_is_free(
    exchange: ExchangeServer, source: Build
) -> None:
    hold(exchange, USDT=(None, "0"))
    async with source(exchange) as opened:
        failure = only_failure(await opened.fetch_balances())
    assert failure.reason is FailureReason.INVALID_DATA
    assert "does not report" in failure.detail


async def test_coin_counts_nothing_when_its_withdrawals_are_suspended(exchange: ExchangeServer, source: Build) -> None:
    """Its balance is reported as locked, and the change is logged once."""
    hold(exchange, USDT=("5", "1"))
    exchange.coins["USDT"] = False
    with capture_logs() as logs:
        async with source(exchange) as opened:
            balances = [only_balance(await opened.fetch_balances()) for _ in range(3)]
    # Kraken's balance includes used amounts, and Bybit's wallet has none here.
    whole = Decimal(5 if isinstance(exchange, Kraken | Bybit) else 6)
    assert {(balance.amount, balance.locked) for balance in balances} == {(Decimal(0), whole)}
    assert {balance.note for balance in balances} == {"withdrawals are suspended"}
    assert [line["asset"] for line in logs if line["event"] == "withdrawals.suspended"] == ["USDT"]


async def test_coin_counts_again_when_its_withdrawals_are_resumed(exchange: ExchangeServer, source: Build) -> None:
    hold(exchange, USDT=("5", "0"))
    exchange.coins["USDT"] = False
    with capture_logs() as logs:
        async with source(exchange, refresh_interval=0.001) as opened:
            assert only_balance(await opened.fetch_balances()).amount == 0
            exchange.coins["USDT"] = True
            while only_balance(await opened.fetch_balances()).amount != 5:
                await asyncio.sleep(0.01)
    assert [line["event"] for line in logs if line["event"].startswith("withdrawals")] == [
        "withdrawals.suspended",
        "withdrawals.resumed",
    ]


@pytest.mark.parametrize("exchange", [Binance, Okx, Kraken], indirect=True)
async def test_coin_counts_when_the_exchange_does_not_tell_whether_it_can_be_withdrawn(
    exchange: ExchangeServer, source: Build
) -> None:
    """On Kraken: when only withdrawals are possible, which ccxt takes for inactive."""
    hold(exchange, USDT=("5", "0"))
    exchange.coins["USDT"] = None
    async with source(exchange) as opened:
        assert only_balance(await opened.fetch_balances()).amount == 5


async def test_coins_that_are_known_serve_when_they_cannot_be_refreshed(binance: Binance, source: Build) -> None:
    hold(binance, USDT=("5", "0"))
    with capture_logs() as logs:
        async with source(binance, refresh_interval=0.001) as opened:
            await opened.fetch_balances()
            binance.answer("/sapi/v1/capital", "{}", status=503)
            while not any(line["event"] == "facts.not_refreshed" for line in logs):
                assert only_balance(await opened.fetch_balances()).amount == 5
                await asyncio.sleep(0.01)


async def test_reading_fails_when_coins_are_too_old_and_cannot_be_refreshed(
    binance: Binance, source: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reservd_ccxt.exchange._FACTS_MAX_AGE_SECONDS", 1e-9)
    hold(binance, USDT=("5", "0"))
    async with source(binance, refresh_interval=1e-9) as opened:
        await opened.fetch_balances()
        binance.answer("/sapi/v1/capital", "{}", status=503)
        assert "HTTP 503" in (await failed(opened)).detail


async def test_exchange_that_is_known_to_ccxt_only_is_read(source: Build) -> None:
    """An empty answer may be one that ccxt does not understand, so only a list with entries is believed there."""
    accounts = {"main": {"assets": ["USDT", "USDC"]}}
    with capture_logs() as logs:
        async with Bitvavo() as server, source(server, accounts=accounts, watch=True) as opened:
            hold(server, USDT=("5.5", "1"))
            found = await opened.fetch_balances()
            assert {each.asset: (each.amount, each.locked, each.note) for each in found.balances} == {
                "USDT": (Decimal("5.5"), Decimal(1), "the rest is in use on the exchange, as in orders"),
                "USDC": (Decimal(0), Decimal(0), ""),
            }
            hold(server)
            assert (await failed(opened)).reason is FailureReason.INVALID_DATA
            stream = opened.changes()
            assert stream is not None
            await exhausted(stream)
    assert [line["event"] for line in but_clocks(logs)] == ["key.not_checked", "stream.not_offered"]


async def test_stream_tells_of_changes_to_all_who_listen(kraken: Kraken, source: Build) -> None:
    hold(kraken, USDT=("5", "0"))
    async with source(kraken, name="one", watch=True) as one, source(kraken, name="two", watch=True) as two:
        first, second = one.changes(), two.changes()
        assert first is not None
        assert second is not None
        await asyncio.gather(anext(first), anext(second))
        await second.aclose()  # type: ignore[attr-defined]  # an async generator
        await kraken.change("USDT", "6")
        await anext(first)
        assert only_balance(await one.fetch_balances()).amount == 6
        await kraken.hang_up()
        with pytest.raises(SourceError) as ended:
            await exhausted(first)
        assert ended.value.reason is FailureReason.UNREACHABLE
        again = one.changes()
        assert again is not None
        await anext(again)
        await again.aclose()  # type: ignore[attr-defined]


def test_there_is_no_stream_unless_it_is_asked_for(source: Build) -> None:
    assert source(Kraken()).changes() is None


async def test_url_key_is_refused_when_the_exchange_has_none_of_that_name(binance: Binance, source: Build) -> None:
    async with source(binance, urls={"privat": binance.url}) as opened:
        assert "has no URL privat" in (await failed(opened)).detail


async def test_sandbox_is_read_though_it_lists_coins_by_its_markets_only(source: Build) -> None:
    async with Okx() as server, source(server, sandbox=True, accounts={"main": {"assets": ["USDT", "USDC"]}}) as opened:
        hold(server, USDT=("5", "0"))
        found = await opened.fetch_balances()
    assert {balance.asset: balance.amount for balance in found.balances} == {"USDT": 5, "USDC": 0}


async def test_exchange_without_a_sandbox_says_so(kraken: Kraken, source: Build) -> None:
    async with source(kraken, sandbox=True) as opened:
        assert "has no sandbox" in (await failed(opened)).detail


class TestCcxtSource(BalanceSourceContract):
    plugin_class = CcxtSource

    @pytest.fixture
    async def options(self, binance: Binance) -> dict[str, Any]:
        hold(binance, USDT=("5", "0"))
        accounts = {"spot": {"type": "spot", "assets": ["USDT", "USDC", "TYPO"]}}
        return {**binance.options, "accounts": accounts}
