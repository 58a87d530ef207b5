"""The options of the `ccxt` balance source, and what it shares with the price source."""

import json
from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from itertools import combinations
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import PluginConfig, Seconds, Secret, SourceConfig, Url
from reservd_ccxt.catalogue import exchange_ids
from reservd_ccxt.wallets import wallet_of

_MAX_OPTIONS = 16 * 1024
_MAX_DEPTH = 8

Name = Annotated[str, Field(min_length=1, max_length=100)]


def _check_exchange(name: str) -> str:
    if name not in exchange_ids():
        near = get_close_matches(name, exchange_ids(), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise PydanticCustomError("exchange", "must be an exchange that ccxt knows{hint}", {"hint": hint})
    return name


def _plain(value: object, depth: int = 0) -> Any:
    """Return the value in ccxt's types: the configuration's numbers are Decimal, which ccxt cannot send."""
    if depth > _MAX_DEPTH:
        raise PydanticCustomError("plain", "must not be nested more than {depth} deep", {"depth": _MAX_DEPTH})
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case Mapping():
            return {str(key): _plain(part, depth + 1) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part, depth + 1) for part in value]
    raise PydanticCustomError("plain", "must hold only text, numbers, true, false, lists and mappings")


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(value)
    if len(json.dumps(plain)) > _MAX_OPTIONS:
        raise PydanticCustomError("too_large", "must have at most {limit} characters as JSON", {"limit": _MAX_OPTIONS})
    return plain


PlainData = Annotated[dict[str, Any], AfterValidator(_bounded)]
"""JSON values of a bounded size, passed to ccxt unchanged."""


class CcxtAccount(PluginConfig):
    """One account, or wallet, of the exchange."""

    type: Name | None = None
    """ccxt's account type: spot, funding, margin, swap and so on; the exchange's default when left out."""
    params: PlainData = Field(default_factory=dict)
    """More parameters of ccxt's `fetch_balance`, such as `marginMode: cross` or a sub-account's id."""
    wallet: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    """A name of your choice for what `params` select, if that is different money; the same in every configuration."""
    assets: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The assets to read, by ccxt's unified codes, such as USDT."""

    def request(self) -> dict[str, Any]:
        """Return the parameters of its `fetch_balance`."""
        return {**({} if self.type is None else {"type": self.type}), **self.params}


class ExchangeConfig(SourceConfig):
    """Options of both `ccxt` sources."""

    exchange: Annotated[str, AfterValidator(_check_exchange)]
    """The exchange's id in ccxt, such as binance."""
    sandbox: bool = False
    """Whether to use the exchange's test environment."""
    urls: dict[Name, Url] = Field(default_factory=dict)
    """Replaces scheme and host, by key of ccxt's `urls['api']`; `default` is for all other keys."""
    options: PlainData = Field(default_factory=dict)
    """The exchange's own options, passed to ccxt."""
    rate_limit_ms: Annotated[int, Field(ge=1, le=60_000)] | None = None
    """Milliseconds between requests of cost 1; ccxt's figure for the exchange when left out."""


class CcxtConfig(ExchangeConfig):
    """Options of the `ccxt` balance source."""

    api_key: Secret
    """The API key. It needs permission to read balances and nothing else."""
    secret: Secret
    """The key's secret, or its private key in PEM if the exchange uses one."""
    password: Secret | None = None
    """The key's passphrase, if the exchange has one."""
    uid: Secret | None = None
    """The user id, if the exchange needs one to sign."""
    account_id: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")] | None = None
    """The exchange's own id of the key's account; any name if it reports none. The same for all keys of the account."""
    accounts: Annotated[dict[Name, CcxtAccount], Field(min_length=1)]
    """The accounts by the names that modes use."""
    allow_trading_key: bool = False
    """Whether to use a key that may trade, lend or move money inside the exchange."""
    allow_withdrawing_key: bool = False
    """Whether to use a key that may withdraw."""
    refresh_interval: Seconds = 300.0
    """Seconds after which coins, their withdrawals and the key's permissions are read again."""
    watch: bool = False
    """Whether to listen to the exchange's balance stream, and read as soon as it reports a change."""

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        wallets = {name: wallet_of(self.exchange, each.request(), self.options) for name, each in self.accounts.items()}
        for one, two in combinations(wallets, 2):
            may_be_one = wallets[one].name == wallets[two].name or not (wallets[one].is_sure and wallets[two].is_sure)
            unnamed = any(wallets[name].others and self.accounts[name].wallet is None for name in (one, two))
            share = {*self.accounts[one].assets} & {*self.accounts[two].assets}
            if may_be_one and unnamed and share and wallets[one].others != wallets[two].others:
                rule = (
                    "must not count money twice: '{one}' and '{two}' may be one unless wallet names what params choose"
                )
                raise PydanticCustomError("wallet", rule, {"one": one, "two": two})
        return self
