"""Which wallet of an account a request reads: a wallet's money is the same, however it is requested."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from reservd_ccxt.account_types import has_one_wallet, wallet_of_type
from reservd_ccxt.catalogue import family_of

_METHOD = "fetchBalance"
_SUB_TYPES = {"binancecoinm": "inverse", "binanceusdm": "linear"}
_FUNDING = {"bybit": {"fund", "funding"}, "okx": {"funding"}}
_KUCOIN = {
    "": "trade",
    "spot": "trade",
    "hf": "trade_hf",
    "cross": "margin",
    "funding": "main",
    "future": "contract",
    "swap": "contract",
}
"""KuCoin's own names of wallets, by ccxt's."""


class Wallet(NamedTuple):
    """One wallet.

    Attributes:
        name: Its name here, the same for every way to request it.
        others: The parameters that did not select it, whose effect is unknown here.
        is_sure: Whether they can select no other wallet than this.
    """

    name: str
    others: Mapping[str, Any]
    is_sure: bool = True


def wallet_of(exchange_id: str, request: Mapping[str, Any], options: Mapping[str, Any]) -> Wallet:
    """Return the wallet that ccxt reads.

    Args:
        exchange_id: ccxt's id of the exchange.
        request: The parameters of its `fetch_balance`.
        options: The exchange's own options in ccxt.
    """
    chosen = _Choices(request, options)
    kind = chosen.take("type").lower()
    is_known = has_one_wallet(exchange_id)
    match family_of(exchange_id):
        case "binance" | "binanceus":  # a separate exchange, whose wallets are selected in the same way
            name, is_known = _binance(kind, chosen, _SUB_TYPES.get(exchange_id, "")), True
        case "okx" | "bybit" as family:  # all but the funding wallet are one unified account
            name, is_known = "funding" if kind in _FUNDING[family] else "trading", True
        case "kucoin":
            kind = kind or ("swap" if exchange_id == "kucoinfutures" else "")
            name = _KUCOIN.get(kind, kind)
        case _:
            name = wallet_of_type(exchange_id, kind)
    return Wallet(name, chosen.others, is_known or not chosen.others)


class _Choices:
    """The values of a request, from where ccxt looks for them: its parameters, then the options.

    Attributes:
        others: The parameters that were not taken yet.
    """

    def __init__(self, request: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.others = dict(request)
        self._options = options

    def take(self, name: str) -> str:
        """Return the selected value; empty if there is none."""
        names = name, f"default{name[0].upper()}{name[1:]}"
        found = [value for each in names if (value := self.others.pop(each, None)) is not None]
        of_method = self._options.get(_METHOD)
        if name == "type" and isinstance(of_method, str):
            found.append(of_method)
        places = of_method if isinstance(of_method, Mapping) else {}, self._options
        found += [place[each] for place in places for each in names if each in place]
        return next((value for value in found if isinstance(value, str)), "")


def _binance(kind: str, chosen: _Choices, own_sub_type: str) -> str:
    """Return the wallet, in the order in which ccxt checks the parameters."""
    if kind == "papi":  # a portfolio margin account; the other types select a part of it
        return kind
    sub_type = chosen.take("subType") or own_sub_type
    margin_mode = chosen.take("marginMode")
    if sub_type in {"linear", "inverse"}:
        return sub_type
    if kind in {"future", "swap"}:
        return "linear"
    if margin_mode == "isolated":
        return margin_mode
    if kind == "margin" or margin_mode == "cross":
        return "margin"
    return kind if kind in {"funding", "savings"} else "spot"
