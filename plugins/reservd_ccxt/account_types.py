"""Which wallet each account type reads, on exchanges without special handling here.

Taken from ccxt's `fetch_balance` of each, which treats some types alike.
"""

from collections.abc import Mapping

_ANY, _NONE = "*", ""
_DEFAULT = "spot"
_Types = Mapping[str, str]
"""Wallets by type; an unlisted type is a wallet of its own, unless `*` gives the one for all others."""

_ONE_WALLET: _Types = {_ANY: _DEFAULT}
_SPOT_OR_FUTURES: _Types = {"spot": "spot", _ANY: "swap"}
_FUTURES_OR_SPOT: _Types = {"swap": "swap", "future": "swap", _ANY: "spot"}
_SWAP_OR_SPOT: _Types = {"swap": "swap", _ANY: "spot"}
_BOTH_FUTURES: _Types = {"future": "swap"}

_OF_ONE_WALLET = (
    "alpaca apex backpack bit2c bitbank bitbns bitflyer bithumb bitopro bitso bitstamp bitteam bittrade bitvavo btcbox"
    " btcmarkets btcturk bullish cex coinbaseexchange coinbaseinternational coincheck coinmate coinone coinsph coinspot"
    " cryptocom delta deribit extended foxbit gemini hibachi hollaex independentreserve indodax kraken lbank luno"
    " mercado modetrade ndax onetrading p2b paymium revolutx tokocrypto upbit woo woofipro zaif"
)
_TYPES: Mapping[str, _Types] = {
    **dict.fromkeys(_OF_ONE_WALLET.split(), _ONE_WALLET),
    **dict.fromkeys(("btse", "poloniex", "weex", "zebpay"), _SPOT_OR_FUTURES),
    **dict.fromkeys(("coinbase", "toobit", "xt"), _FUTURES_OR_SPOT),
    **dict.fromkeys(("bequant", "bitget", "fmfwio", "hitbtc", "htx"), _BOTH_FUTURES),
    **dict.fromkeys(("bitrue", "whitebit"), _SWAP_OR_SPOT),
    "bigone": {"fund": "funding", "funding": "funding", _ANY: "spot"},
    "bingx": {"spot": "spot", "fund": "funding", "funding": "funding", _ANY: "swap"},
    "bitfinex": {"exchange": "spot", "derivatives": "margin", "future": "margin", "swap": "margin"},
    "blofin": {_NONE: "swap", "future": "swap", "futures": "swap"},
    "krakenfutures": {_NONE: "flex", "funding": "cash", "future": "cash", "futures": "cash", "main": "cash"},
    "latoken": {"wallet": "funding"},
}


def wallet_of_type(exchange_id: str, account_type: str) -> str:
    """Return the name of the wallet that an account type reads.

    Args:
        exchange_id: ccxt's id of the exchange.
        account_type: The type in lower case; empty for ccxt's default.
    """
    types = _TYPES.get(exchange_id, {})
    chosen = account_type or types.get(_NONE, _DEFAULT)
    return types.get(chosen, types.get(_ANY, chosen))


def has_one_wallet(exchange_id: str) -> bool:
    """Whether every type reads the same wallet."""
    return _TYPES.get(exchange_id) is _ONE_WALLET
