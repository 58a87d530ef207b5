"""The exchanges that the installed ccxt supports, without importing ccxt, which takes seconds and 100 MB."""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CCXT = find_spec("ccxt")
if _CCXT is None:  # raised at import, so that the host names the extra before anything is read
    raise ModuleNotFoundError("No module named 'ccxt'", name="ccxt")

_FAMILIES = {
    "binancecoinm": "binance",
    "binanceusdm": "binance",
    "bybiteu": "bybit",
    "bybitid": "bybit",
    "gateeu": "gate",
    "kucoinfutures": "kucoin",
    "myokx": "okx",
    "okxus": "okx",
}
"""The exchange of each additional id, by ccxt's id."""


@cache
def exchange_ids() -> frozenset[str]:
    """Return the ids of all exchanges, as ccxt spells them."""
    folders = _CCXT.submodule_search_locations if _CCXT is not None else None
    files = (file for folder in folders or () for file in Path(folder, "async_support").glob("*.py"))
    return frozenset(file.stem for file in files if not file.stem.startswith("_"))


def family_of(exchange_id: str) -> str:
    """Return the exchange of an id: ccxt has several ids for one exchange whose accounts are the same under each."""
    return _FAMILIES.get(exchange_id, exchange_id)


def lean_parameters(exchange_id: str, account_type: str | None) -> Mapping[str, Any]:
    """Return parameters that make an exchange leave out empty balances, of which ccxt would parse thousands.

    Only for accounts whose request has no parameters of its own: another call might refuse unknown ones.
    """
    return {"omitZeroBalances": True} if exchange_id == "binance" and account_type in {None, "spot"} else {}
