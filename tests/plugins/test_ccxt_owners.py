"""Two keys of one exchange account are the same money, which counts once."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.plugin import FailureReason, SourceError
from reservd_ccxt.source import CcxtSource
from support.exchange_server import OWNER, ExchangeServer
from support.exchanges import Binance, Bybit, Kraken, Okx
from support.holdings import but_clocks

Build = Callable[..., CcxtSource]
OTHER_KEY = "key-of-somebody-else-perhaps"
OWNER_PATH = {"binance": "/api/v3/account", "bybit": "/v5/user/query-api", "okx": "/api/v5/account/config"}
WALLET = {"binance": "spot", "bybit": "trading", "okx": "trading", "kraken": "spot"}


@pytest.fixture(params=[Binance, Bybit, Okx], ids=lambda server: server.exchange)
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[ExchangeServer]:
    """Each exchange that reports the owner of a key, with two keys."""
    async with request.param() as server:
        hold(server)
        yield server


@pytest.fixture
async def kraken() -> AsyncIterator[Kraken]:
    """An exchange that does not report the owner of a key."""
    async with Kraken() as server:
        hold(server)
        yield server


@pytest.fixture
def source(build: Callable[..., Any]) -> Build:
    """Build a source of one account with USDT."""

    def make(server: ExchangeServer, **options: Any) -> CcxtSource:
        defaults = {"accounts": {"main": {"assets": ["USDT"]}}}
        made: CcxtSource = build(CcxtSource, {**server.options, **defaults, **options})
        return made

    return make


def hold(server: ExchangeServer) -> None:
    server.keys.add(OTHER_KEY)
    server.wallets[WALLET[server.exchange]] = {"USDT": ("100", "0")}


async def amount(source: CcxtSource) -> int:
    (balance,) = (await source.fetch_balances()).balances
    return int(balance.amount)


async def refused(source: CcxtSource) -> str:
    with pytest.raises(SourceError) as raised:
        await source.fetch_balances()
    assert raised.value.reason is FailureReason.REJECTED
    return raised.value.detail


async def test_second_key_of_an_account_is_refused_when_nothing_says_that_it_is_one(
    exchange: ExchangeServer, source: Build
) -> None:
    async with source(exchange) as first, source(exchange, api_key=OTHER_KEY) as second:
        assert await amount(first) == 100
        for _ in range(2):
            assert f"set account_id to {OWNER} for all" in await refused(second)
            assert await amount(first) == 100


async def test_second_key_is_refused_when_only_one_of_them_names_the_account(
    exchange: ExchangeServer, source: Build
) -> None:
    async with source(exchange) as first, source(exchange, api_key=OTHER_KEY, account_id=OWNER) as second:
        assert await amount(second) == 100
        assert f"set account_id to {OWNER} for all" in await refused(first)


async def test_keys_of_an_account_are_the_same_money_when_both_name_it(exchange: ExchangeServer, source: Build) -> None:
    first, second = (source(exchange, api_key=key, account_id=OWNER) for key in exchange.keys)
    assert first.accounts == second.accounts
    assert first.accounts["main"].address.endswith(f":{OWNER}")
    async with first, second:
        assert await amount(first) == await amount(second) == 100


async def test_keys_of_two_accounts_are_read_beside_each_other(exchange: ExchangeServer, source: Build) -> None:
    exchange.owners[OTHER_KEY] = "17"
    first, second = (source(exchange, api_key=key) for key in exchange.keys)
    assert first.accounts["main"].address != second.accounts["main"].address
    async with first, second:
        for _ in range(2):
            assert await amount(first) == await amount(second) == 100
    assert exchange.calls.count(OWNER_PATH[exchange.exchange]) >= 2


async def test_key_is_refused_when_it_is_of_another_account_than_it_should_be(
    exchange: ExchangeServer, source: Build
) -> None:
    async with source(exchange, account_id="17") as opened:
        assert await refused(opened) == f"{exchange.exchange}: account_id is 17, and the key is of account {OWNER}"


async def test_second_key_is_read_once_the_first_is_out_of_use(exchange: ExchangeServer, source: Build) -> None:
    async with source(exchange, api_key=OTHER_KEY) as second:
        async with source(exchange) as first:
            assert await amount(first) == 100
            assert "same account" in await refused(second)
        assert await amount(second) == 100


async def test_reading_waits_for_the_exchange_to_tell_whose_the_keys_are(source: Build) -> None:
    async with Okx() as okx:
        hold(okx)
        async with source(okx) as alone:
            assert await amount(alone) == 100  # it knows its key's rights from now on
            okx.answer("account/config", "<html>maintenance</html>", 503)
            assert await amount(alone) == 100
            async with source(okx, api_key=OTHER_KEY):
                await refused(alone)
                okx.heal()
                assert await amount(alone) == 100


async def test_whose_a_key_is_is_asked_once(source: Build) -> None:
    async with Binance() as binance:
        hold(binance)
        async with source(binance, account_id=OWNER) as opened:
            assert await amount(opened) == 100
            before = binance.calls.count("/api/v3/account")
            assert await amount(opened) == 100
            assert binance.calls.count("/api/v3/account") == before + 1  # the balances, and nothing else


@pytest.mark.parametrize("said", ['{"uid": null, "balances": []}', '{"uid": 0, "balances": []}', '{"balances": []}'])
async def test_exchange_that_tells_no_id_is_read_with_a_warning(source: Build, said: str) -> None:
    async with Binance() as binance:
        hold(binance)
        binance.answer("/api/v3/account", said)
        with capture_logs() as logs:
            async with source(binance) as first, source(binance, api_key=OTHER_KEY):
                for _ in range(2):
                    assert await amount(first) == 0
        assert [line["event"] for line in but_clocks(logs)] == ["account.not_identified"]


async def test_keys_are_read_with_a_warning_when_the_exchange_tells_of_none(kraken: Kraken, source: Build) -> None:
    with capture_logs() as logs:
        async with source(kraken) as first, source(kraken, api_key=OTHER_KEY, account_id="ours") as named:
            for _ in range(2):
                assert await amount(first) == await amount(named) == 100
    assert [(line["event"], line["log_level"]) for line in but_clocks(logs)] == [("account.not_identified", "warning")]


async def test_nothing_is_warned_of_when_there_is_one_key(kraken: Kraken, source: Build) -> None:
    with capture_logs() as logs:
        async with source(kraken) as opened:
            assert await amount(opened) == 100
    assert but_clocks(logs) == []


def test_accounts_of_one_name_are_told_apart_by_wallet_and_what_names_the_rest(source: Build) -> None:
    accounts = {
        "spot": {"assets": ["USDT"]},
        "funding": {"type": "funding", "assets": ["USDT"]},
        "other": {"params": {"subAcct": "7"}, "wallet": "sub7", "assets": ["USDT"]},
    }
    found = source(Okx(), account_id="ours", accounts=accounts).accounts
    assert len({account.address for account in found.values()}) == 3
    assert not any(account.stand_in for account in found.values())
