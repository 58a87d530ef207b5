"""A warning is given for balance sources that may count the same money."""

import json
from typing import Any

import pytest

KEY = {"exchange": "kraken", "secret": "c2VjcmV0", "accounts": {"main": {"assets": ["USDT"]}}}


def warnings(folder: Any, first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return the warnings about two ccxt sources that are configured together."""
    lines = [
        f"  {name}: {json.dumps({'plugin': 'ccxt', 'options': {**KEY, **options}})}"
        for name, options in (("vault", first), ("more", second))
    ]
    folder.main("  vault: {plugin: static, options: {balances: [{asset: USDT, amount: 100}]}}", "\n".join(lines))
    folder.mode("[vault]", "[vault, more]")
    return [line.partition("balance_sources.")[2] for line in folder.load().warnings]


@pytest.mark.parametrize(
    ("first", "second", "warned"),
    [
        ({"api_key": "one"}, {"api_key": "two"}, ["vault", "more"]),
        ({"api_key": "one"}, {"api_key": "two", "account_id": "ours"}, ["vault"]),
        ({"api_key": "one", "account_id": "theirs"}, {"api_key": "two", "account_id": "ours"}, []),
        ({"api_key": "one"}, {"api_key": "one", "accounts": {"other": {"params": {"a": 1}, "assets": ["USDT"]}}}, []),
        ({"api_key": "one"}, {"api_key": "two", "exchange": "bitvavo"}, []),
        ({"api_key": "one", "exchange": "kucoin"}, {"api_key": "two", "exchange": "kucoinfutures"}, ["vault", "more"]),
        ({"api_key": "one", "exchange": "binance"}, {"api_key": "two", "exchange": "binance"}, []),
    ],
    ids=[
        "two keys",
        "one is named",
        "both are named",
        "one key",
        "two exchanges",
        "two ids of an exchange",
        "an exchange that tells",
    ],
)
def test_sources_are_warned_of_when_nobody_knows_whether_they_count_the_same_money(
    folder: Any, first: dict[str, Any], second: dict[str, Any], warned: list[str]
) -> None:
    found = warnings(folder, first, second)
    assert [line.partition(":")[0] for line in found] == warned
    venue = first.get("exchange", "kraken")
    assert all(f"may be the same account on {venue} as" in line for line in found)
