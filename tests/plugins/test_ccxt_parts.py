"""The pure parts of the `ccxt` source: options, and the interpretation of answers."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from reservd.plugin import AccountFailure, FailureReason
from reservd_ccxt.balances import is_whole, to_balance
from reservd_ccxt.coins import read_coins
from reservd_ccxt.config import CcxtConfig
from reservd_ccxt.errors import from_ccxt
from reservd_ccxt.permissions import CHECKS, Permissions
from reservd_ccxt.source import CcxtSource

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def options(**changes: Any) -> dict[str, Any]:
    usual = {"exchange": "okx", "api_key": "the-key", "secret": "s3cret", "accounts": {"main": {"assets": ["USDT"]}}}
    return usual | changes


def test_plugin_is_imported_without_ccxt() -> None:
    """Importing ccxt takes seconds and 100 MB, which must not happen before a source is read."""
    code = "import reservd_ccxt, sys; sys.exit('ccxt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exchange": "binanse"}, "did you mean 'binance'"),
        ({"exchange": "__init__"}, "must be an exchange that ccxt knows"),
        ({"accounts": {}}, "at least 1"),
        ({"accounts": {"main": {"assets": []}}}, "at least 1"),
        ({"options": {"a": object()}}, "only text, numbers"),
        ({"options": {"a": "x" * 20_000}}, "at most 16384 characters"),
        ({"options": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {"i": 1}}}}}}}}}}, "8 deep"),
        ({"urls": {"default": "ftp://host"}}, "http:// or https://"),
        ({"rate_limit_ms": 0}, "greater than or equal to 1"),
    ],
)
def test_options_are_refused_when_they_cannot_be_used(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CcxtConfig.model_validate(options(**changes))


def test_numbers_of_options_are_plain_when_the_configuration_made_them_decimal() -> None:
    config = CcxtConfig.model_validate(
        options(options={"recvWindow": Decimal(5000), "x": [Decimal("0.5"), None, True]})
    )
    assert config.options == {"recvWindow": 5000, "x": [0.5, None, True]}
    assert type(config.options["recvWindow"]) is int


def test_accounts_are_the_same_money_when_the_exchange_has_one_wallet_for_their_types(
    build: Callable[..., CcxtSource],
) -> None:
    types = {"one": "spot", "two": "swap", "three": None, "funding": "funding"}
    accounts = {name: {"type": kind, "assets": ["USDT"]} for name, kind in types.items()}
    accounts["elsewhere"] = {"assets": ["USDT"], "params": {"subAcct": "7"}, "wallet": "sub7"}
    found = build(CcxtSource, options(accounts=accounts)).accounts
    assert found["one"].address == found["two"].address == found["three"].address
    assert len({account.address for account in found.values()}) == 3
    assert "the-key" not in str(found)
    other = build(CcxtSource, options(api_key="another-key")).accounts["main"]
    assert other.address not in {account.address for account in found.values()}


@pytest.mark.parametrize(
    ("currency", "suspended"),
    [
        ({"withdraw": False, "active": True}, True),
        ({"withdraw": True, "active": False}, False),
        ({"withdraw": None, "active": False}, True),
        ({"withdraw": None, "active": None}, False),
        ({"active": True, "networks": {"A": {"withdraw": False}, "B": {"withdraw": False}}}, True),
        ({"active": True, "networks": {"A": {"withdraw": False}, "B": {"withdraw": None}}}, False),
        ({"active": False, "info": {"status": "withdrawal_only"}}, False),
        ({}, False),
    ],
)
def test_withdrawals_are_suspended_only_when_the_exchange_says_so(currency: dict[str, Any], suspended: bool) -> None:
    assert read_coins({"USDT": currency}) == {"USDT": suspended}


@pytest.mark.parametrize("free", [5.0, 5, True, "five", "NaN", "Infinity", "1e70", ["5"]])
def test_number_is_unknown_when_it_cannot_be_believed(free: object) -> None:
    failure = to_balance("main", "USDT", {"free": {"USDT": free}}, {}, NOW)
    assert isinstance(failure, AccountFailure)
    assert failure.reason is FailureReason.INVALID_DATA


def test_debt_stays_debt_when_withdrawals_are_suspended() -> None:
    balance = to_balance("main", "USDT", {"free": {"USDT": "-5"}, "used": {"USDT": "-1"}}, {"USDT": True}, NOW)
    assert not isinstance(balance, AccountFailure)
    assert balance.amount == -5


def test_nothing_at_all_is_not_believed_when_the_format_is_not_known() -> None:
    assert not is_whole("kucoin", "trade", {"free": {}, "info": {"data": []}})
    assert is_whole("kucoin", "trade", {"free": {"BTC": "0"}, "info": {}})


@pytest.mark.parametrize(
    ("exchange", "wallet", "info", "whole"),
    [
        ("binance", "spot", [], False),
        ("binance", "margin", {"userAssets": []}, True),
        ("binance", "funding", [], True),
        ("bybit", "trading", {"result": {"list": []}}, False),
        ("bybit", "funding", {"result": {"list": [{"coin": []}]}}, False),
        ("bybit", "funding", {"result": {"balance": []}}, True),
        ("okx", "trading", {"data": []}, False),
        ("okx", "funding", {"data": []}, True),
        ("okx", "funding", {"data": [{"details": []}]}, False),
        ("kraken", "spot", {"result": None}, False),
    ],
)
def test_answer_is_whole_when_the_list_is_where_it_must_be(
    exchange: str, wallet: str, info: object, whole: bool
) -> None:
    assert is_whole(exchange, wallet, {"free": {}, "info": info}) is whole


@pytest.mark.parametrize(
    ("exchange", "answer", "expected"),
    [
        ("binance", {"enableWithdrawals": False, "enableReading": True}, Permissions(trade=False, withdraw=False)),
        ("binance", {"enableWithdrawals": False, "enableNewThing": True}, Permissions(trade=True, withdraw=False)),
        ("binance", {"enableWithdrawals": "yes"}, None),
        ("binance", [], None),
        ("bybit", {"result": {"readOnly": 0, "permissions": {"Wallet": ["Withdraw"]}}}, Permissions(False, True)),
        ("bybit", {"result": {"readOnly": 1, "permissions": {"Wallet": ["Withdraw"]}}}, Permissions(False, False)),
        ("bybit", {"result": {}}, None),
        ("okx", {"data": [{"perm": "read_only, trade"}]}, Permissions(True, False)),
        ("okx", {"data": [{"perm": ""}]}, None),
        ("okx", {"data": []}, None),
        ("kraken", {"result": {"permissions": ["query-funds", "close-trades"]}}, Permissions(True, False)),
        ("kraken", {"result": {"permissions": ["query-closed-trades", "export-data"]}}, Permissions(False, False)),
        ("kraken", {"result": {}}, None),
    ],
)
def test_rights_of_a_key_are_known_only_when_the_answer_is_what_it_must_be(
    exchange: str, answer: object, expected: Permissions | None
) -> None:
    assert CHECKS[exchange].parse(answer) == expected


def test_error_tells_names_and_numbers_only() -> None:
    # Classes of ccxt are recognized by their names.
    base = type("BaseError", (Exception,), {})
    unavailable = type("ExchangeNotAvailable", (base,), {})
    maintenance = type("OnMaintenance", (unavailable,), {})
    told = from_ccxt(maintenance('okx {"code": "50001", "msg": "https://x/?signature=abc"}'), "okx")
    assert (told.reason, told.detail) == (FailureReason.REJECTED, "okx: OnMaintenance, code 50001")
    broken = unavailable("okx GET https://x/?signature=abc")
    broken.__cause__ = aiohttp.ClientPayloadError("https://x/?signature=abc")
    told = from_ccxt(broken, "okx")
    assert told.reason is FailureReason.UNREACHABLE
    assert "signature" not in told.detail
    told = from_ccxt(KeyError("the-key"), "okx")
    assert (told.reason, told.detail) == (FailureReason.INVALID_DATA, "okx: the answer cannot be read (KeyError)")
