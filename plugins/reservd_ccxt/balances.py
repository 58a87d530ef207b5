"""Converts ccxt's balances: exact numbers, and no guesses."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from reservd.plugin import AccountFailure, Balance, FailureReason, parse_amount
from reservd_ccxt.catalogue import family_of
from reservd_ccxt.coins import Coins

ZERO = Decimal(0)
_SUSPENDED = "withdrawals are suspended"
_IN_USE = "the rest is in use on the exchange, as in orders"
_EXACT = Context(prec=130)  # two amounts of 60 digits and 60 decimals


class UnknownBalance(Exception):  # noqa: N818  # not an error of its own: it becomes one account's failure
    """A number that is missing or not plausible."""


def to_balance(
    account: str, asset: str, answer: Mapping[str, Any], coins: Coins, observed_at: datetime
) -> Balance | AccountFailure:
    """Return the balance of one asset from an answer that `is_whole`.

    Args:
        account: The account's name.
        asset: The coin, in ccxt's code.
        answer: What ccxt's `fetch_balance` returned.
        coins: The coins that the exchange lists: one of these that is not in the answer is 0.
        observed_at: When the request was sent.
    """
    try:
        free = _free(answer, asset, coins)
    except UnknownBalance as unknown:
        return AccountFailure(account, FailureReason.INVALID_DATA, f"{asset}: {unknown}", asset)
    used = _used(answer, asset)
    if coins.get(asset, False) and free > 0:
        locked = None if used is None else _EXACT.add(free, used)
        return Balance(account, asset, ZERO, observed_at, locked=locked, note=_SUSPENDED)
    return Balance(account, asset, free, observed_at, locked=used, note=_IN_USE if used else "")


def is_whole(exchange_id: str, wallet: str, answer: object) -> bool:
    """Whether an answer is the exchange's list of balances, so that a coin that is not in it is not there.

    ccxt reads anything as an empty list, even a maintenance notice. If the exchange's format is known, the
    list must be at its place; otherwise the answer must name at least one coin.

    Args:
        exchange_id: The exchange.
        wallet: The name of the wallet, by `wallet_of`.
        answer: What ccxt's `fetch_balance` returned.
    """
    if not isinstance(answer, Mapping) or not isinstance(answer.get("free"), Mapping):
        return False
    check = _FORMATS.get(family_of(exchange_id))
    return check(answer.get("info"), wallet) if check is not None else bool(answer["free"])


def _free(answer: Mapping[str, Any], asset: str, coins: Coins) -> Decimal:
    amount = _amount(answer, "free", asset)
    if amount is not None:
        return amount
    if asset not in coins:
        raise UnknownBalance("not in the answer, and the exchange does not list it")
    return ZERO


def _amount(answer: Mapping[str, Any], part: str, asset: str) -> Decimal | None:
    """Return a number of the answer; None if it does not name the coin."""
    amounts = answer[part]
    if asset not in amounts:
        return None
    value = amounts[asset]
    if value is None:
        raise UnknownBalance(f"the exchange does not report what is {part}")
    if not isinstance(value, str):
        raise UnknownBalance(f"what is {part} came as {type(value).__name__}, which may have lost digits")
    try:
        return parse_amount(value)
    except ValueError:
        raise UnknownBalance(f"what is {part} is not a valid number") from None


def _used(answer: Mapping[str, Any], asset: str) -> Decimal | None:
    """Return the amount in use; None if the exchange does not report it for a coin that it names."""
    try:
        amount = _amount(answer, "used", asset)
    except (KeyError, TypeError, UnknownBalance):
        return None
    return ZERO if amount is None and asset not in answer["free"] else amount


def _binance(info: object, wallet: str) -> bool:
    if isinstance(info, Mapping):
        return any(_has_list(info, key) for key in ("balances", "userAssets", "assets", "positionAmountVos"))
    return isinstance(info, list) and wallet not in {"spot", "margin"}


def _bybit(info: object, wallet: str) -> bool:
    result = info.get("result") if isinstance(info, Mapping) else None
    if not isinstance(result, Mapping):
        return False
    if wallet == "funding":
        return isinstance(result.get("balance"), list)
    accounts = result.get("list")
    return isinstance(accounts, list) and bool(accounts) and all(_has_list(each, "coin") for each in accounts)


def _okx(info: object, wallet: str) -> bool:
    data = info.get("data") if isinstance(info, Mapping) else None
    if not isinstance(data, list):
        return False
    if wallet == "funding":
        return all(isinstance(each, Mapping) and "ccy" in each for each in data)
    return bool(data) and _has_list(data[0], "details")


def _kraken(info: object, _wallet: str) -> bool:
    return isinstance(info, Mapping) and isinstance(info.get("result"), Mapping)


def _has_list(node: object, key: str) -> bool:
    return isinstance(node, Mapping) and isinstance(node.get(key), list)


_FORMATS: Mapping[str, Callable[[object, str], bool]] = {
    "binance": _binance,
    "bybit": _bybit,
    "okx": _okx,
    "kraken": _kraken,
}
