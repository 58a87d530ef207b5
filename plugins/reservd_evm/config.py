"""The options of the `evm` balance source."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from eth_utils.address import is_checksum_address, is_hex_address
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, PluginConfig, SourceConfig, Url

MAX_DECIMALS = 60
"""The host believes no amount with more decimals."""


def _check_address(text: str) -> str:
    digits = text.removeprefix("0x")
    if not (text.startswith("0x") and is_hex_address(text)):
        raise PydanticCustomError("address", "must be 0x and 40 hexadecimal digits, got {got}", {"got": text[:80]})
    if not int(digits, 16):
        raise PydanticCustomError("address", "must not be the zero address")
    if digits not in {digits.lower(), digits.upper()} and not is_checksum_address(text):
        raise PydanticCustomError(
            "address", "must have its EIP-55 checksum right (a digit or a capital is wrong), got {got}", {"got": text}
        )
    return text.lower()


Address = Annotated[str, AfterValidator(_check_address)]
"""A 20-byte address as lower-case text; a mixed-case one must have the right EIP-55 checksum."""


class AssetOptions(PluginConfig):
    """What one asset is on this chain: the native coin, or the token at an address."""

    native: bool = False
    """Whether it is the chain's own coin."""
    token: Address | None = None
    """The address of its ERC-20 contract."""
    decimals: Annotated[int, Field(ge=0, le=MAX_DECIMALS)] | None = None
    """Decimals of the token; read from its `decimals()` once when left out."""
    keep: Annotated[Amount, Field(ge=0)] = Decimal(0)
    """Whole units that stay on each account, for gas above all: locked, never payable."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> "AssetOptions":
        if self.native == (self.token is not None):
            raise PydanticCustomError("asset", "must have either 'native: true' or 'token: 0x…'")
        if self.native and self.decimals is not None:
            raise PydanticCustomError("asset", "decimals must be left out of the native coin, which has 18")
        return self


class AccountOptions(PluginConfig):
    """One account."""

    address: Address
    """The address that holds the money."""
    assets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The assets it is asked for; all when left out."""


def _from_address(value: object) -> object:
    match value:
        case str():
            return {"address": value}
        case AccountOptions() | Mapping():
            return value
    raise PydanticCustomError("account", "must be an address, or a mapping of address and assets")


AccountEntry = Annotated[AccountOptions, BeforeValidator(_from_address, json_schema_input_type=str | AccountOptions)]
"""An account as its address alone, or as a mapping."""


class EvmConfig(SourceConfig):
    """Options of the `evm` balance source."""

    rpc_url: Url
    """The node's JSON-RPC endpoint. A secret: providers put their keys into it."""
    chain_id: PositiveInt
    """The chain's EIP-155 id, 1 for Ethereum. A node of another chain is not believed."""
    assets: Annotated[dict[str, AssetOptions], Field(min_length=1)]
    """The assets by the name that modes use, such as USDT."""
    accounts: Annotated[dict[str, AccountEntry], Field(min_length=1)]
    """The accounts by name: an address, or a mapping of `address` and `assets`."""
    batch_size: PositiveInt = 1000
    """JSON-RPC calls in one HTTP request; 1 for a provider that takes no batches."""
    multicall_size: PositiveInt = 500
    """Balances in one call of Multicall3."""

    @field_validator("assets")
    @classmethod
    def _each_asset_once(cls, assets: dict[str, AssetOptions]) -> dict[str, AssetOptions]:
        _refuse_twins({name: options.token or "the native coin" for name, options in assets.items()})
        return assets

    @field_validator("accounts")
    @classmethod
    def _each_account_once(cls, accounts: dict[str, AccountOptions], info: ValidationInfo) -> dict[str, AccountOptions]:
        _refuse_twins({name: options.address for name, options in accounts.items()})
        known: dict[str, AssetOptions] | None = info.data.get("assets")
        for name, options in accounts.items():
            for asset in options.assets or ():
                if known is not None and asset not in known:
                    raise PydanticCustomError(
                        "account_asset",
                        "assets of '{name}' must be among {known}, got '{asset}'",
                        {"name": name, "known": ", ".join(sorted(known)), "asset": asset},
                    )
        return accounts

    def assets_of(self, account: str) -> tuple[str, ...]:
        """Return the assets that an account is asked for."""
        chosen = self.accounts[account].assets
        return tuple(self.assets) if chosen is None else tuple(dict.fromkeys(chosen))


def _refuse_twins(things: Mapping[str, str]) -> None:
    """Refuse two names of one thing: its money would count twice."""
    first: dict[str, str] = {}
    for name, thing in things.items():
        twin = first.setdefault(thing, name)
        if twin != name:
            raise PydanticCustomError(
                "twins",
                "must not name the same thing twice: '{twin}' and '{name}' are both {thing}",
                {"twin": twin, "name": name, "thing": thing},
            )
