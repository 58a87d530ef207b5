"""Exchanges that ccxt knows under several ids: an account is the same money under each of them."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from reservd import ReserveManager
from reservd.plugin import FailureReason, SourceError
from reservd_ccxt.source import CcxtSource
from support.exchange_server import OWNER
from support.exchanges import Binance
from support.sources import ScriptedEquity

Build = Callable[..., CcxtSource]
OTHER_KEY = "key-of-somebody-else-perhaps"


@pytest.fixture
async def binance() -> AsyncIterator[Binance]:
    """An account with money in its spot wallet and in both of its futures wallets, and two keys."""
    async with Binance() as server:
        server.keys.add(OTHER_KEY)
        server.wallets.update(spot={"USDT": ("100", "0")}, linear={"USDT": ("20", "0")}, inverse={"USDT": ("3", "0")})
        yield server


@pytest.fixture
def source(build: Callable[..., Any]) -> Build:
    """Build a source of one account with USDT."""

    def make(server: Binance, exchange: str, account: dict[str, Any] | None = None, **options: Any) -> CcxtSource:
        accounts = {"main": {"assets": ["USDT"], **(account or {})}}
        made: CcxtSource = build(
            CcxtSource, {**server.options, "exchange": exchange, "accounts": accounts, **options}, name=exchange
        )
        return made

    return make


def place_of(source: CcxtSource) -> tuple[str, str]:
    account = source.accounts["main"]
    return account.venue, account.address


async def amount(source: CcxtSource) -> int:
    (balance,) = (await source.fetch_balances()).balances
    return int(balance.amount)


async def refused(source: CcxtSource) -> str:
    with pytest.raises(SourceError) as raised:
        await source.fetch_balances()
    assert raised.value.reason is FailureReason.REJECTED
    return raised.value.detail


Way = tuple[str, dict[str, Any]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("binance", {"type": "swap"}), ("binanceusdm", {})),
        (("binance", {"type": "future"}), ("binanceusdm", {"type": "spot"})),
        (("binance", {"params": {"subType": "linear"}}), ("binanceusdm", {})),
        (("binance", {"params": {"type": "swap", "subType": "inverse"}}), ("binancecoinm", {})),
        (("binance", {"type": "margin"}), ("binance", {"params": {"marginMode": "cross"}})),
        (("okx", {}), ("okxus", {"type": "spot"})),
        (("okx", {"type": "funding"}), ("myokx", {"params": {"type": "funding"}})),
        (("bybit", {"type": "swap"}), ("bybiteu", {})),
        (("kucoin", {"type": "swap"}), ("kucoinfutures", {})),
        (("gate", {}), ("gateeu", {})),
    ],
    ids=lambda way: f"{way[0]} {way[1]}",
)
@pytest.mark.parametrize("account_id", [None, "ours"])
def test_wallet_is_the_same_money_however_it_is_asked_for(
    source: Build, one: Way, other: Way, account_id: str | None
) -> None:
    first, second = (source(Binance(), *way, account_id=account_id) for way in (one, other))
    assert place_of(first) == place_of(second)


def test_wallets_of_an_account_are_different_money(source: Build) -> None:
    isolated = {"type": "margin", "params": {"marginMode": "isolated"}}
    kinds = ({}, {"type": "funding"}, {"type": "margin"}, isolated)
    ways: list[Way] = [*(("binance", kind) for kind in kinds), ("binanceusdm", {}), ("binancecoinm", {})]
    places = {place_of(source(Binance(), *way)) for way in ways}
    assert len(places) == len(ways)
    assert {venue for venue, _ in places} == {"binance"}


async def test_money_counts_once_when_a_mode_counts_it_under_two_ids(binance: Binance, source: Build) -> None:
    ways: dict[str, Way] = {"spot": ("binance", {}), "swap": ("binance", {"type": "swap"}), "usdm": ("binanceusdm", {})}
    manager = ReserveManager(ScriptedEquity(), {name: source(binance, *way) for name, way in ways.items()})
    manager.set_reserve_config("m", {"share_class": "USDT", "reserve_ratio": "0.1", "reserve_balance_sources": [*ways]})
    found = await manager.check_all_reserves()
    await manager.close()
    assert found["m"].reserve_balance == 120


async def test_one_key_reads_every_wallet_beside_the_others(binance: Binance, source: Build) -> None:
    spot, usdm, coinm = (source(binance, exchange) for exchange in ("binance", "binanceusdm", "binancecoinm"))
    async with spot, usdm, coinm:
        for _ in range(2):
            assert [await amount(each) for each in (spot, usdm, coinm)] == [100, 20, 3]


async def test_second_key_of_an_account_is_refused_under_another_id_too(binance: Binance, source: Build) -> None:
    swap = {"type": "swap"}
    async with source(binance, "binance", swap) as first, source(binance, "binanceusdm", api_key=OTHER_KEY) as second:
        assert await amount(first) == 20
        assert f"set account_id to {OWNER} for all" in await refused(second)
        assert await amount(first) == 20


async def test_keys_of_an_account_are_read_under_two_ids_when_both_name_it(binance: Binance, source: Build) -> None:
    first = source(binance, "binance", account_id=OWNER)
    second = source(binance, "binanceusdm", account_id=OWNER, api_key=OTHER_KEY)
    assert place_of(first) == ("binance", f"spot:{OWNER}")
    assert place_of(second) == ("binance", f"linear:{OWNER}")
    async with first, second:
        assert (await amount(first), await amount(second)) == (100, 20)


async def test_key_is_refused_when_it_names_its_account_under_one_id_only(binance: Binance, source: Build) -> None:
    async with source(binance, "binance", account_id=OWNER):
        with pytest.raises(SourceError, match="another source uses this key with another account_id"):
            await source(binance, "binanceusdm").__aenter__()
