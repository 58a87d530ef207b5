"""The README of a source names the calls behind its numbers, so that users can make them by hand."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import reservd
from reservd.plugin import SourceError
from reservd.plugin.evm import Function
from reservd_ccxt.price import CcxtPriceSource
from reservd_ccxt.source import CcxtSource
from support.exchange_server import ExchangeServer
from support.exchanges import Binance, Bybit, Kraken, Okx

PLUGINS = Path(reservd.__file__).parents[2] / "plugins"
ON_CHAINS = ("evm", "erc4626", "aave_v3", "chainlink")
CALL = re.compile(r"eth_[a-zA-Z]+|/api/[\w/]+|fetch_[a-z]+|SELECT \* FROM \(")
"""A method of JSON-RPC, a path of HTTP, a method of ccxt, or a statement."""


def what_it_reads(plugin: str) -> str:
    """Return the part of a README before its options."""
    text = (PLUGINS / f"reservd_{plugin}" / "README.md").read_text()
    return text.partition("## What it reads")[2].partition("\n## Options")[0]


def modules_of(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    for module in pkgutil.iter_modules(root.__path__, f"{package}."):
        yield importlib.import_module(module.name)


def functions_of(package: str) -> set[str]:
    """Return the contract functions that a package calls."""
    values = (value for module in modules_of(package) for value in vars(module).values())
    return {value.name for value in values if isinstance(value, Function)}


def calls_of(package: str) -> set[str]:
    """Return the other calls that a package makes by name."""
    sources = (Path(str(module.__file__)).read_text() for module in modules_of(package))
    nodes = (node for source in sources for node in ast.walk(ast.parse(source)))
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {found[0] for text in texts if (found := CALL.match(text)) and (found[0] == text or "(" in found[0])}


@pytest.mark.parametrize("plugin", ON_CHAINS)
def test_readme_names_every_function_of_a_contract(plugin: str) -> None:
    called, told = functions_of(f"reservd_{plugin}"), what_it_reads(plugin)
    assert called
    assert {name for name in called if not re.search(rf"`{name}\b", told)} == set()


def test_readme_of_evm_names_every_call_that_all_sources_on_chains_make() -> None:
    """The READMEs of those sources refer to it."""
    told = what_it_reads("evm")
    calls = calls_of("reservd.plugin.evm")
    assert {"eth_call", "eth_getBlockByNumber"} <= calls
    assert {call for call in calls if call not in told} == set()
    assert {
        name for name in ("balanceOf", "getEthBalance", "decimals", "aggregate3") if f"`{name}" not in told
    } == set()
    for plugin in ON_CHAINS[1:]:
        assert "(../reservd_evm/README.md#how-it-asks)" in what_it_reads(plugin)


@pytest.mark.parametrize("plugin", ["ccxt", "prometheus", "sql"])
def test_readme_names_every_call_to_a_server(plugin: str) -> None:
    calls, told = calls_of(f"reservd_{plugin}"), what_it_reads(plugin)
    assert calls
    assert {call for call in calls if call not in told} == set()


INVERSE = {"type": "swap", "params": {"subType": "inverse"}}
BALANCES: list[tuple[type[ExchangeServer], dict[str, Any], str]] = [
    (Binance, {}, "GET /api/v3/account"),
    (Binance, {"type": "spot"}, "GET /api/v3/account"),
    (Binance, {"type": "funding"}, "POST /sapi/v1/asset/get-funding-asset"),
    (Binance, {"type": "margin"}, "GET /sapi/v1/margin/account"),
    (Binance, {"type": "swap"}, "GET /fapi/v3/account"),
    (Binance, {"type": "future"}, "GET /fapi/v3/account"),
    (Binance, INVERSE, "GET /dapi/v1/account"),
    (Bybit, {}, "GET /v5/account/wallet-balance"),
    (Bybit, {"type": "spot"}, "GET /v5/account/wallet-balance"),
    (Bybit, {"type": "funding"}, "GET /v5/asset/transfer/query-account-coins-balance"),
    (Okx, {}, "GET /api/v5/account/balance"),
    (Okx, {"type": "swap"}, "GET /api/v5/account/balance"),
    (Okx, {"type": "funding"}, "GET /api/v5/asset/balances"),
    (Kraken, {}, "POST /0/private/BalanceEx"),
]


def documented_balances() -> set[str]:
    """Return the calls in the table of exchanges."""
    table = what_it_reads("ccxt").partition("| exchange | `type` | the call |")[2].partition("\n\n")[0]
    return set(re.findall(r"`((?:GET|POST) /[^`]+)`", table))


@pytest.mark.parametrize(
    ("exchange", "account", "call"), BALANCES, ids=lambda each: getattr(each, "exchange", str(each))
)
async def test_documented_call_is_the_one_that_asks_an_exchange_for_balances(
    build: Callable[..., Any], exchange: type[ExchangeServer], account: dict[str, Any], call: str
) -> None:
    async with exchange() as server:
        accounts = {"main": {"assets": ["USDT"], **account}}
        async with build(CcxtSource, {**server.options, "accounts": accounts}) as source:
            with suppress(SourceError):  # the server may not know the wallet
                await source.fetch_balances()
        assert server.requests[-1] == call
    assert call in documented_balances()


def test_every_documented_call_for_balances_was_tried() -> None:
    assert documented_balances() == {call for _, _, call in BALANCES}


RIGHTS = {
    Binance: "GET /sapi/v1/account/apiRestrictions",
    Bybit: "GET /v5/user/query-api",
    Okx: "GET /api/v5/account/config",
    Kraken: "POST /0/private/GetApiKeyInfo",
}


@pytest.mark.parametrize(("exchange", "call"), RIGHTS.items(), ids=lambda each: getattr(each, "exchange", str(each)))
async def test_documented_call_is_the_one_that_asks_what_a_key_may_do(
    build: Callable[..., Any], exchange: type[ExchangeServer], call: str
) -> None:
    async with exchange() as server:
        server.may_trade = True
        async with build(CcxtSource, {**server.options, "accounts": {"main": {"assets": ["USDT"]}}}) as source:
            with pytest.raises(SourceError, match="may trade"):
                await source.fetch_balances()
        assert call in server.requests
    assert f"`{call}`" in what_it_reads("ccxt")


@pytest.mark.parametrize(
    ("exchange", "call"),
    [(Binance, "GET /api/v3/ticker/24hr"), (Kraken, "GET /0/public/Ticker")],
    ids=lambda each: getattr(each, "exchange", str(each)),
)
async def test_documented_call_is_the_one_that_asks_for_a_price(
    build: Callable[..., Any], exchange: type[ExchangeServer], call: str
) -> None:
    async with exchange() as server:
        server.tickers["ETH/USDT"] = ("2999.5", "3000.5", "3010")
        options = {"exchange": server.exchange, "urls": {"default": server.url}, "rate_limit_ms": 1, "timeout": 60}
        markets = {"ETH/USDT": {"symbol": "ETH/USDT"}}
        async with build(CcxtPriceSource, {**options, "markets": markets}) as source:
            await source.fetch_price("ETH", "USDT")
        assert server.requests[-1] == call
    assert f"`{call}`" in what_it_reads("ccxt")
