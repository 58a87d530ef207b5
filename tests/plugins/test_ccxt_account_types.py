"""The account types that the source takes for one wallet, and no others, lead to the same request of ccxt."""

import importlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from itertools import combinations
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.config.double_counting import find_unidentified
from reservd_ccxt.catalogue import exchange_ids
from reservd_ccxt.source import CcxtSource
from reservd_ccxt.wallets import wallet_of

TYPES = (None, "spot", "margin", "swap", "future", "option", "funding", "fund", "trading", "exchange")
TOLD_APART = {"bitfinex", "krakenfutures", "kucoin", "kucoinfutures", "latoken"}
"""One request returns all wallets and ccxt selects one, or the exchange itself knows the type."""
ONE_ACCOUNT = {"blofin", "bybit", "bybiteu", "bybitid"}
"""Several requests return the same money: of a unified account, or of one for futures."""
CREDENTIALS = {
    "apiKey": "key",
    "secret": "c2VjcmV0",
    "password": "p",
    "uid": "1",
    "login": "l",
    "accountId": "1",
    "privateKey": f"0x{1:064x}",
}

Request = tuple[str, str]


@asynccontextmanager
async def exchange_of(exchange_id: str) -> AsyncIterator[Any]:
    """Yield ccxt's object of an exchange, with everything that it would load before balances."""
    polling = importlib.import_module("ccxt.async_support")
    settings = {"options": {"uta": False, "unifiedMarginStatus": 1}, "ssl_context": True}
    exchange = getattr(polling, exchange_id)({**CREDENTIALS, **settings})

    async def nothing(*_: object, **__: object) -> dict[str, Any]:
        return {}

    exchange.set_markets([], {})
    exchange.accounts = [{"id": "1"}]
    exchange.load_markets = exchange.load_accounts = exchange.load_unified_status = nothing
    try:
        yield exchange
    finally:
        await exchange.close()


async def asked(exchange: Any, kind: str | None) -> Request | None:
    """Return the last request that ccxt makes for a type, without the type itself; None if it makes none."""
    requests: list[Request] = []

    async def note(path: str, api: Any, method: str, params: Mapping[str, Any], *_: Any) -> Any:
        told = {name: value for name, value in params.items() if (name, value) != ("type", kind)}
        requests.append((f"{method} {api} {path}", str(sorted(told.items()))))
        return {}

    exchange.fetch2 = note
    with suppress(Exception):  # an empty answer, or a type that the exchange does not have
        await exchange.fetch_balance({} if kind is None else {"type": kind})
    return requests[-1] if requests else None


@pytest.mark.parametrize("exchange_id", sorted(exchange_ids()))
async def test_types_are_one_wallet_exactly_when_ccxt_asks_for_them_in_one_way(exchange_id: str) -> None:
    async with exchange_of(exchange_id) as exchange:
        if not exchange.requiredCredentials["apiKey"]:
            return  # the source always has a key
        found = {kind: request for kind in TYPES if (request := await asked(exchange, kind))}
    assert found
    wallets = {kind: wallet_of(exchange_id, {} if kind is None else {"type": kind}, {}).name for kind in found}
    for one, other in combinations(found, 2):
        is_one = wallets[one] == wallets[other]
        if found[one] == found[other]:
            assert is_one or exchange_id in TOLD_APART, (one, other)
        else:
            assert not is_one or exchange_id in ONE_ACCOUNT, (one, other)


@pytest.mark.parametrize("exchange", ["bitvavo", "bitget", "gate", "mexc", "htx"])
def test_money_of_a_key_is_one_account_when_it_is_asked_for_with_and_without_its_type(
    build: Any, exchange: str
) -> None:
    kinds = {"plain": {}, "spot": {"type": "spot"}, "inside": {"params": {"type": "spot"}}, "swap": {"type": "swap"}}
    accounts = {name: {"assets": ["USDT"], **kind} for name, kind in kinds.items()}
    options = {"exchange": exchange, "api_key": "k", "secret": "s", "accounts": accounts}
    found = {name: account.address for name, account in build(CcxtSource, options).accounts.items()}
    assert found["plain"] == found["spot"] == found["inside"]
    assert (found["swap"] == found["plain"]) is (exchange == "bitvavo")


def options_of(exchange: str, **accounts: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a source whose accounts hold USDT by default."""
    told = {name: {"assets": ["USDT"], **account} for name, account in accounts.items()}
    return {"exchange": exchange, "api_key": "k", "secret": "s", "accounts": told}


@pytest.mark.parametrize(
    ("exchange", "one", "other"),
    [
        ("binance", {"type": "spot"}, {"params": {"anything": 1}}),
        ("binance", {"type": "margin"}, {"params": {"marginMode": "cross", "anything": 1}}),
        ("kraken", {}, {"params": {"anything": 1}}),
        ("bitvavo", {"type": "spot", "params": {"a": 1}}, {"params": {"a": 2}}),
        ("gate", {"type": "margin"}, {"params": {"marginMode": "cross"}}),
        ("htx", {"type": "spot", "params": {"account-id": "1"}}, {"type": "swap"}),
        ("kucoin", {"type": "margin"}, {"params": {"marginMode": "cross"}}),
    ],
)
def test_money_that_only_parameters_tell_apart_is_not_counted_twice(
    build: Any, exchange: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """The effect of parameters is unknown; `wallet` declares that it is other money."""
    with pytest.raises(ValidationError, match="'one' and 'other' may be one unless wallet names what params choose"):
        build(CcxtSource, options_of(exchange, one=one, other=other))
    build(CcxtSource, options_of(exchange, one=one, other={**other, "assets": ["USDC"]}))
    named = [{**way, **({"wallet": "own"} if "params" in way else {})} for way in (one, other)]
    found = build(CcxtSource, options_of(exchange, one=named[0], other=named[1])).accounts
    assert not any(account.stand_in for account in found.values() if exchange == "binance")


@pytest.mark.parametrize("exchange", ["binance", "okx", "gate"])
def test_accounts_are_told_apart_by_type_beside_the_same_parameters(build: Any, exchange: str) -> None:
    kinds = {kind: {"type": kind, "params": {"anything": 1}} for kind in ("spot", "funding")}
    found = build(CcxtSource, options_of(exchange, **kinds)).accounts
    assert len({account.address for account in found.values()}) == 2


@pytest.mark.parametrize(("exchange", "warned"), [("gate", True), ("binance", False), ("kraken", False)])
def test_another_source_of_the_key_is_warned_of_when_parameters_may_choose_its_money(
    build: Any, exchange: str, warned: bool
) -> None:
    """If they cannot select another wallet, it is the same money, which counts once."""
    sources = {
        "one": build(CcxtSource, options_of(exchange, main={"type": "margin"}), name="one"),
        "two": build(CcxtSource, options_of(exchange, main={"params": {"anything": 1}}), name="two"),
        "named": build(CcxtSource, options_of(exchange, main={"params": {"anything": 1}, "wallet": "x"}), name="named"),
    }
    assert {name for name, _ in find_unidentified(sources)} == (set(sources) if warned else set())
    del sources["two"]
    assert not list(find_unidentified(sources))
