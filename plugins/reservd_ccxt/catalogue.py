"""Which exchanges the installed ccxt knows. Told without importing ccxt, which takes seconds and 100 MB."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CCXT = find_spec("ccxt")
if _CCXT is None:  # said now, so that the host names the extra before anything is read
    raise ModuleNotFoundError("No module named 'ccxt'", name="ccxt")

_FAMILIES = {
    "binance": "binance",
    "binancecoinm": "binance",
    "binanceusdm": "binance",
    "bybit": "bybit",
    "bybiteu": "bybit",
    "bybitid": "bybit",
    "kraken": "kraken",
    "myokx": "okx",
    "okx": "okx",
    "okxus": "okx",
}
_FUNDING = {"fund", "funding"}


@cache
def exchange_ids() -> frozenset[str]:
    """Return the ids of all exchanges, as ccxt spells them."""
    folders = _CCXT.submodule_search_locations if _CCXT is not None else None
    files = (file for folder in folders or () for file in Path(folder, "async_support").glob("*.py"))
    return frozenset(file.stem for file in files if not file.stem.startswith("_"))


def family_of(exchange_id: str) -> str:
    """Return which exchange's API it speaks, where that is known in detail; its own id elsewhere."""
    return _FAMILIES.get(exchange_id, exchange_id)


def wallet_of(exchange_id: str, account_type: str | None) -> str:
    """Return the name of the wallet that an account type means: two types may be the same money."""
    kind = (account_type or "").lower()
    match family_of(exchange_id):
        case "okx" | "bybit":  # all but the funding wallet is one unified account
            return "funding" if kind in _FUNDING else "trading"
        case "kraken":
            return "spot"
        case "binance":
            return kind or "spot"
    return kind or "default"


def lean_parameters(exchange_id: str, account_type: str | None) -> Mapping[str, Any]:
    """Return what makes an exchange leave out what is not there, of which ccxt makes thousands of numbers.

    Only for accounts whose request has nothing else of its own: another call might refuse what it does not know.
    """
    return {"omitZeroBalances": True} if exchange_id == "binance" and account_type in {None, "spot"} else {}
