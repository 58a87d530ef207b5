"""The permissions of a key, if its exchange reports them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Permissions(NamedTuple):
    """What a key may do besides reading.

    Attributes:
        trade: Place orders, lend, or move money inside the exchange.
        withdraw: Send money out of it.
    """

    trade: bool
    withdraw: bool


class Check(NamedTuple):
    """How an exchange reports them.

    Attributes:
        method: ccxt's method for it; it takes no arguments.
        parse: Converts the answer; None if it is not as expected.
    """

    method: str
    parse: Callable[[Any], Permissions | None]


def refusal(permissions: Permissions, *, allow_trading: bool, allow_withdrawing: bool) -> str:
    """Return why a key is refused, naming the option that would allow it; empty if it is not."""
    if permissions.withdraw and not allow_withdrawing:
        return "the key may withdraw: give one that only reads, or set allow_withdrawing_key"
    if permissions.trade and not allow_trading:
        return "the key may trade or move money: give one that only reads, or set allow_trading_key"
    return ""


def _binance(answer: Any) -> Permissions | None:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("enableWithdrawals"), bool):
        return None
    harmless = {"enableReading", "enableFixReadOnly", "enableWithdrawals"}
    rights = {name for name, value in answer.items() if value is True and name.startswith(("enable", "permits"))}
    return Permissions(trade=bool(rights - harmless), withdraw="enableWithdrawals" in rights)


def _bybit(answer: Any) -> Permissions | None:
    try:
        read_only, scopes = answer["result"]["readOnly"], answer["result"]["permissions"]
        rights = {right for rights in scopes.values() for right in rights or ()}
    except (AttributeError, LookupError, TypeError):
        return None
    if read_only == 1:
        return Permissions(trade=False, withdraw=False)
    return Permissions(trade=bool(rights - {"Withdraw"}), withdraw="Withdraw" in rights)


def _okx(answer: Any) -> Permissions | None:
    try:
        rights = {right.strip() for right in answer["data"][0]["perm"].split(",")}
    except (AttributeError, LookupError, TypeError):
        return None
    return Permissions(trade="trade" in rights, withdraw="withdraw" in rights) if "" not in rights else None


def _kraken(answer: Any) -> Permissions | None:
    try:
        rights = [str(right).lower() for right in answer["result"]["permissions"]]
    except (LookupError, TypeError):
        return None
    rights = [right for right in rights if not any(word in right for word in ("query", "export", "access", "read"))]
    acts = ("modify", "create", "cancel", "close", "trade", "order", "transfer", "earn", "stak")
    return Permissions(
        trade=any(word in right for right in rights for word in acts),
        withdraw=any("withdraw" in right for right in rights),
    )


CHECKS: Mapping[str, Check] = {
    "binance": Check("sapiGetAccountApiRestrictions", _binance),
    "bybit": Check("privateGetV5UserQueryApi", _bybit),
    "okx": Check("privateGetAccountConfig", _okx),
    "kraken": Check("privatePostGetApiKeyInfo", _kraken),
}
"""By family of exchanges."""
