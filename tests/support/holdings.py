"""What the tests of `ccxt` share: balances of accounts on exchanges, and readings of them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from reservd.plugin import AccountFailure, Balance, Reading, SourceError
from reservd_ccxt.source import CcxtSource
from support.exchange_server import KEY, PASSPHRASE, SECRET, ExchangeServer

Build = Callable[..., CcxtSource]
MAIN = {"binance": "spot", "bybit": "trading", "okx": "trading", "kraken": "spot", "bitvavo": "spot"}
"""The wallet that is read when no type is configured."""
BALANCE_PATH = {
    "binance": "/api/v3/account",
    "bybit": "/v5/account/wallet-balance",
    "okx": "/api/v5/account/balance",
    "kraken": "/0/private/BalanceEx",
}


def but_clocks(logs: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the lines not about clocks: if the machine stands still for a second, the exchange's looks wrong."""
    return [line for line in logs if line["event"] != "clock.skewed"]


def hold(server: ExchangeServer, **holdings: tuple[str | None, str]) -> None:
    server.wallets[MAIN[server.exchange]] = dict(holdings)


async def failed(source: CcxtSource) -> SourceError:
    with pytest.raises(SourceError) as raised:
        await source.fetch_balances()
    for secret in (KEY, SECRET, PASSPHRASE, "http:", "signature=", "127.0.0.1"):
        assert secret not in str(raised.value)
    return raised.value


def only_balance(reading: Reading) -> Balance:
    assert reading.failures == []
    (balance,) = reading.balances
    return balance


def only_failure(reading: Reading) -> AccountFailure:
    assert reading.balances == []
    (failure,) = reading.failures
    return failure
