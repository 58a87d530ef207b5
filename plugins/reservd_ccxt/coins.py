"""The coins that an exchange lists, and whether they can be withdrawn."""

from collections.abc import Mapping
from typing import Any

Coins = Mapping[str, bool]
"""For each listed coin, by ccxt's code, whether its withdrawals are suspended."""

# Kraken's status that ccxt reads as inactive although withdrawals work.
_LEAVES = "withdrawal_only"


def read_coins(currencies: Mapping[str, Any]) -> Coins:
    """Return the coins of ccxt's currencies."""
    return {code: _suspended(currency) for code, currency in currencies.items() if isinstance(currency, Mapping)}


def _suspended(currency: Mapping[str, Any]) -> bool:
    """Whether the exchange says that the coin cannot be withdrawn. By default withdrawals count as possible."""
    withdraw = currency.get("withdraw")
    if withdraw is not None:
        return withdraw is False
    networks = currency.get("networks")
    if isinstance(networks, Mapping) and networks:
        return all(isinstance(network, Mapping) and network.get("withdraw") is False for network in networks.values())
    info = currency.get("info")
    if isinstance(info, Mapping) and info.get("status") == _LEAVES:
        return False
    return currency.get("active") is False
