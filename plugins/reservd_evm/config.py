"""The options of the `evm` balance source."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, PluginConfig, Seconds, Secret
from reservd.plugin.evm import MAX_DECIMALS, Address, BlockTag, EvmConfig, token_id

_NEWEST_FIRST: tuple[BlockTag, ...] = ("latest", "safe", "finalized")


class EvmAsset(PluginConfig):
    """One asset on this chain: the native coin, or the token at an address."""

    native: bool = False
    """Whether it is the chain's own coin."""
    token: Address | None = None
    """The address of its ERC-20 contract."""
    decimals: Annotated[int, Field(ge=0, le=MAX_DECIMALS)] | None = None
    """Decimals of the token; read from its `decimals()` once when left out."""
    keep: Annotated[Amount, Field(ge=0)] = Decimal(0)
    """Whole units that stay on each account, usually for gas: locked, never payable."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.native == (self.token is not None):
            raise PydanticCustomError("asset", "must have either 'native: true' or 'token: 0x…'")
        if self.native and self.decimals is not None:
            raise PydanticCustomError("asset", "decimals must be left out of the native coin, which has 18")
        return self

    @property
    def identity(self) -> str:
        """Its identity on the chain, whatever its name."""
        return "native" if self.token is None else token_id(self.token)


class EvmAccount(PluginConfig):
    """One account."""

    address: Address
    """The address that holds the money."""
    assets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The assets to read; all when left out."""


def _from_address(value: object) -> object:
    match value:
        case str():
            return {"address": value}
        case EvmAccount() | Mapping():
            return value
    raise PydanticCustomError("account", "must be an address, or a mapping of address and assets")


AccountEntry = Annotated[EvmAccount, BeforeValidator(_from_address, json_schema_input_type=str | EvmAccount)]
"""An account as its address alone, or as a mapping."""


def _websocket_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    scheme, _, rest = url.partition("://")
    if scheme not in {"ws", "wss"} or not rest or any(character.isspace() for character in url):
        raise PydanticCustomError("websocket_url", "must be a ws:// or wss:// URL with a host")
    return secret


class EvmBalanceConfig(EvmConfig):
    """Options of the `evm` balance source."""

    ws_url: Annotated[Secret, AfterValidator(_websocket_url)] | None = None
    """A websocket endpoint that announces new blocks: the source is then read soon after each."""
    wake_interval: Seconds = 1.0
    """The shortest time between two readings for new blocks, in seconds: providers count each reading."""
    believe_drops_from: BlockTag | None = None
    """A newer block that is read as well: of both balances the lower one counts."""
    assets: Annotated[dict[str, EvmAsset], Field(min_length=1)]
    """The assets by the name that modes use, such as USDT."""
    accounts: Annotated[dict[str, AccountEntry], Field(min_length=1)]
    """The accounts by name: an address, or a mapping of `address` and `assets`."""
    multicall_size: PositiveInt = 500
    """Balances in one Multicall3 call."""

    @field_validator("assets")
    @classmethod
    def _each_asset_once(cls, assets: dict[str, EvmAsset]) -> dict[str, EvmAsset]:
        _refuse_twins({name: options.token or "the native coin" for name, options in assets.items()})
        return assets

    @field_validator("accounts")
    @classmethod
    def _each_account_once(cls, accounts: dict[str, EvmAccount], info: ValidationInfo) -> dict[str, EvmAccount]:
        _refuse_twins({name: options.address for name, options in accounts.items()})
        known: dict[str, EvmAsset] | None = info.data.get("assets")
        for name, options in accounts.items():
            for asset in options.assets or ():
                if known is not None and asset not in known:
                    raise PydanticCustomError(
                        "account_asset",
                        "assets of '{name}' must be among {known}, got '{asset}'",
                        {"name": name, "known": ", ".join(sorted(known)), "asset": asset},
                    )
        return accounts

    @model_validator(mode="after")
    def _drops_are_newer(self) -> Self:
        if self.tags[0] != (self.believe_drops_from or self.block):
            raise PydanticCustomError(
                "believe_drops_from",
                "believe_drops_from must not be older than block ({block}), got {got}",
                {"block": self.block, "got": self.believe_drops_from},
            )
        return self

    @property
    def tags(self) -> tuple[BlockTag, ...]:
        """Return the blocks at which balances are read: one, or two with the newer first."""
        wanted = {self.block, self.believe_drops_from or self.block}
        return tuple(tag for tag in _NEWEST_FIRST if tag in wanted)

    def assets_of(self, account: str) -> tuple[str, ...]:
        """Return the assets of an account that are read."""
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
