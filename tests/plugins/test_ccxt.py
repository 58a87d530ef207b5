"""The `ccxt` source against exchanges on loopback that speak as the real ones do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.plugin import AccountFailure, Balance, FailureReason, Reading, SourceError
from reservd.plugin.testing import BalanceSourceContract
from reservd_ccxt import registry
from reservd_ccxt.source import CcxtSource
from support.exchange_server import KEY, PASSPHRASE, SECRET, ExchangeServer
from support.exchanges import FAMILIES, Binance, Bitvavo, Bybit, Kraken, Okx

Build = Callable[..., CcxtSource]
MAIN = {"binance": "spot", "bybit": "trading", "okx": "trading", "kraken": "spot", "bitvavo": "spot"}
"""The wallet that an exchange reads when no type is given."""
BALANCE_PATH = {
    "binance": "/api/v3/account",
    "bybit": "/v5/account/wallet-balance",
    "okx": "/api/v5/account/balance",
    "kraken": "/0/private/BalanceEx",
}


@pytest.fixture(params=FAMILIES, ids=lambda server: server.exchange)
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[ExchangeServer]:
    """Each of the exchanges in turn."""
    async with request.param() as server:
        yield server


@pytest.fixture
async def binance() -> AsyncIterator[Binance]:
    async with Binance() as server:
        yield server


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    async with Kraken() as server:
        yield server


@pytest.fixture
def source(build: Callable[..., Any]) -> Build:
    """A source of one account with USDT, unless told otherwise."""

    def make(server: ExchangeServer, name: str = "example", **options: Any) -> CcxtSource:
        defaults = {"accounts": {"main": {"assets": ["USDT"]}}}
        made: CcxtSource = build(CcxtSource, {**server.options, **defaults, **options}, name=name)
        return made

    return make


def hold(server: ExchangeServer, **holdings: tuple[str | None, str]) -> None:
    server.wallets[MAIN[server.exchange]] = dict(holdings)


async def failed(source: CcxtSource) -> SourceError:
    with pytest.raises(SourceError) as raised:
        await source.fetch_balances()
    for secret in (KEY, SECRET, PASSPHRASE, "http:", "signature=", "127.0.0.1"):
        assert secret not in str(raised.value)
    return raised.value


async def exhausted(stream: AsyncIterator[None]) -> None:
    async for _ in stream:
        pass


def only_balance(reading: Reading) -> Balance:
    assert reading.failures == []
    (balance,) = reading.balances
    return balance


def only_failure(reading: Reading) -> AccountFailure:
    assert reading.balances == []
    (failure,) = reading.failures
    return failure


@pytest.mark.parametrize("text", ["40000.25", "0.000000000000000001", "123456789012345678901234567890.12345678"])
async def test_balance_is_exact_on_every_exchange(exchange: ExchangeServer, source: Build, text: str) -> None:
    hold(exchange, USDT=(text, "0"))
    async with source(exchange) as reading:
        balance = only_balance(await reading.fetch_balances())
    assert balance.amount == Decimal(text)
    assert str(balance.amount.normalize()) == str(Decimal(text).normalize())


async def test_balance_keeps_its_digits_when_the_exchange_sends_json_numbers(binance: Binance, source: Build) -> None:
    """A JSON number would be a float in ccxt, which has 17 digits."""
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
    """Hundreds of coins that are 0 take ccxt milliseconds of the event loop's time."""
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
        assert len(exchange.calls) == before + 1, "the list is asked for when the coin goes, and not again"


async def test_coin_that_is_gone_is_unknown_when_the_exchange_lists_it_no_longer(
    exchange: ExchangeServer, source: Build
) -> None:
    """However young the list is that was read before."""
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
    assert "does not tell" in failure.detail


NO_LISTS = ["{}", "[]", '{"balances": null}', '{"result": []}', "<html>maintenance</html>", "", "[" * 9999]


@pytest.mark.parametrize("body", NO_LISTS, ids=lambda body: body[:20])
async def test_reading_fails_when_the_answer_is_no_list_of_balances(
    exchange: ExchangeServer, source: Build, body: str
) -> None:
    """For ccxt each of these is an account that holds nothing."""
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
        f"{exchange.exchange}: the answer is no JSON",
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
    assert "left alone" in error.detail
    assert len(exchange.calls) == asked


async def test_host_is_told_when_an_exchange_under_maintenance_asks_to_be_left_alone(
    binance: Binance, source: Build
) -> None:
    """It keeps the source back; what is asked of the exchange for other ends may be well."""
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", "{}", status=503, Retry_After="120")
        for _ in range(2):
            error = await failed(opened)
            assert (error.reason, error.retry_after_seconds) == (FailureReason.REJECTED, 120)
        binance.answer("/api/v3/account", "{}", status=503)
        assert (await failed(opened)).retry_after_seconds is None


async def test_reading_is_rejected_when_the_secret_is_wrong(exchange: ExchangeServer, source: Build) -> None:
    async with source(exchange, secret="d3Jvbmcgc2VjcmV0") as opened:
        error = await failed(opened)
    assert error.reason is FailureReason.REJECTED
    assert "Error, code " in error.detail


async def test_no_request_has_a_wrong_time_when_the_clocks_differ_from_the_start(
    exchange: ExchangeServer, source: Build
) -> None:
    exchange.clock_ahead_ms = -90_000
    hold(exchange, USDT=("5", "0"))
    with capture_logs() as logs:
        async with source(exchange) as opened:
            assert only_balance(await opened.fetch_balances()).amount == 5
    assert exchange.refused_for_time == 0
    assert [line["event"] for line in logs if "clock" in line["event"]] == ["clock.skewed"]


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


async def test_coin_counts_nothing_when_its_withdrawals_are_suspended(exchange: ExchangeServer, source: Build) -> None:
    """What is there is said to be locked, and the change of it is logged once."""
    hold(exchange, USDT=("5", "1"))
    exchange.coins["USDT"] = False
    with capture_logs() as logs:
        async with source(exchange) as opened:
            balances = [only_balance(await opened.fetch_balances()) for _ in range(3)]
    # Kraken's balance holds what is in use, and Bybit's wallet here has nothing in use.
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
    """On Kraken: when it tells that only withdrawals are possible, which ccxt takes for inactive."""
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
    assert [(line["event"], line["log_level"]) for line in logs] == [("key.allowed", "warning")]


async def test_key_is_used_with_a_warning_when_the_exchange_does_not_tell_its_rights(
    binance: Binance, source: Build
) -> None:
    binance.answer("apiRestrictions", '{"ipRestrict": false}')
    with capture_logs() as logs:
        async with source(binance) as opened:
            for _ in range(2):
                await opened.fetch_balances()
    assert [line["event"] for line in logs] == ["key.not_checked"]


async def test_key_is_used_with_a_warning_when_it_may_not_ask_for_its_rights(kraken: Kraken, source: Build) -> None:
    kraken.answer("GetApiKeyInfo", '{"error": ["EGeneral:Permission denied"]}')
    with capture_logs() as logs:
        async with source(kraken) as opened:
            await opened.fetch_balances()
    assert [line["event"] for line in logs] == ["key.not_checked"]


async def test_exchange_that_is_known_to_ccxt_only_is_read(source: Build) -> None:
    """Nothing at all might be an answer that was not understood: there only a list with something in it is believed."""
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
    assert [line["event"] for line in logs] == ["key.not_checked", "stream.not_offered"]


async def test_key_is_in_no_log_when_everything_is_logged(
    exchange: ExchangeServer, source: Build, caplog: pytest.LogCaptureFixture
) -> None:
    """By itself ccxt logs each request with its headers."""
    caplog.set_level(logging.DEBUG)
    async with source(exchange) as opened:
        await opened.fetch_balances()
    assert KEY not in caplog.text


async def test_answer_is_refused_when_it_does_not_end(
    binance: Binance, source: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reservd_ccxt.client._MAX_ANSWER_BYTES", 100_000)
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", " " * 200_000)
        error = await failed(opened)
    assert (error.reason, "too large" in error.detail) == (FailureReason.INVALID_DATA, True)


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


async def test_reading_is_unreachable_when_nobody_listens(source: Build) -> None:
    async with Binance() as server:
        pass
    async with source(server) as opened:
        assert (await failed(opened)).reason is FailureReason.UNREACHABLE


async def test_redirect_is_not_followed(binance: Binance, source: Build) -> None:
    """The key would go wherever it points."""
    async with source(binance) as opened:
        await opened.fetch_balances()
        binance.answer("/api/v3/account", "", status=302, Location=f"{binance.url}/elsewhere")
        error = await failed(opened)
    assert (error.reason, "redirect" in error.detail) == (FailureReason.REJECTED, True)
    assert "/elsewhere" not in binance.calls


async def test_work_goes_on_when_the_first_reading_is_given_up(binance: Binance, source: Build) -> None:
    """Importing ccxt and asking for coins may take longer than one deadline."""
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


async def test_okx_needs_its_passphrase(source: Build) -> None:
    async with Okx() as server, source(server, password=None) as opened:
        assert "okx needs password" in (await failed(opened)).detail


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


async def test_timeout_is_told_when_the_exchange_hangs(source: Build) -> None:
    class Hanging(Bybit):
        async def _handle(self, request: Any) -> Any:
            await asyncio.Event().wait()

    async with Hanging() as server, source(server, timeout=0.2) as opened:
        assert (await failed(opened)).reason is FailureReason.TIMEOUT


class TestCcxtSource(BalanceSourceContract):
    plugin_class = CcxtSource

    @pytest.fixture
    async def options(self, binance: Binance) -> dict[str, Any]:
        hold(binance, USDT=("5", "0"))
        accounts = {"spot": {"type": "spot", "assets": ["USDT", "USDC", "TYPO"]}}
        return {**binance.options, "accounts": accounts}
