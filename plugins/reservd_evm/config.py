"""The options of the `evm` balance source."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, PluginConfig, Seconds, Secret, SourceConfig, Url
from reservd_evm.addresses import Address

MAX_DECIMALS = 60
"""The host believes no amount with more decimals."""

BlockTag = Literal["latest", "safe", "finalized"]
"""A block that a node names itself, the newest first."""

_NEWEST_FIRST: tuple[BlockTag, ...] = ("latest", "safe", "finalized")


class EvmAsset(PluginConfig):
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
    def _is_one_thing(self) -> "EvmAsset":
        if self.native == (self.token is not None):
            raise PydanticCustomError("asset", "must have either 'native: true' or 'token: 0x…'")
        if self.native and self.decimals is not None:
            raise PydanticCustomError("asset", "decimals must be left out of the native coin, which has 18")
        return self


class EvmAccount(PluginConfig):
    """One account."""

    address: Address
    """The address that holds the money."""
    assets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The assets it is asked for; all when left out."""


def _from_address(value: object) -> object:
    match value:
        case str():
            return {"address": value}
        case EvmAccount() | Mapping():
            return value
    raise PydanticCustomError("account", "must be an address, or a mapping of address and assets")


AccountEntry = Annotated[EvmAccount, BeforeValidator(_from_address, json_schema_input_type=str | EvmAccount)]
"""An account as its address alone, or as a mapping."""


class EvmEndpoint(PluginConfig):
    """One JSON-RPC endpoint."""

    url: Url
    """Where it answers JSON-RPC. A secret: providers put their keys into it."""
    name: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    """What logs and errors call it; its place in the list, from 1, when left out."""


def _from_url(value: object) -> object:
    match value:
        case str():
            return {"url": value}
        case EvmEndpoint() | Mapping():
            return value
    raise PydanticCustomError("endpoint", "must be a URL, or a mapping of url and name")


EndpointEntry = Annotated[EvmEndpoint, BeforeValidator(_from_url, json_schema_input_type=str | EvmEndpoint)]
"""An endpoint as its URL alone, or as a mapping."""


def _websocket_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    scheme, _, rest = url.partition("://")
    if scheme not in {"ws", "wss"} or not rest or any(character.isspace() for character in url):
        raise PydanticCustomError("websocket_url", "must be a ws:// or wss:// URL with a host")
    return secret


class EvmConfig(SourceConfig):
    """Options of the `evm` balance source."""

    rpc_url: Url | None = None
    """The node's JSON-RPC endpoint, when there is one only. A secret: providers put their keys into it."""
    rpc_urls: Annotated[tuple[EndpointEntry, ...], Field(min_length=1)] | None = None
    """Several endpoints, the preferred one first: URLs, or mappings of `url` and `name`."""
    endpoint_timeout: Seconds | None = None
    """Seconds that one endpoint may take; an equal share of `timeout` for each try when left out."""
    probe_interval: Seconds = 60.0
    """Seconds between two trials of an endpoint that failed."""
    quorum: PositiveInt = 1
    """Endpoints that must give the same numbers at the same block."""
    quorum_max_lag: NonNegativeInt = 3
    """Blocks that an endpoint of the quorum may be behind the foremost one."""
    ws_url: Annotated[Secret, AfterValidator(_websocket_url)] | None = None
    """A websocket endpoint that tells of new blocks: the source is then read a little sooner."""
    chain_id: PositiveInt
    """The chain's EIP-155 id, 1 for Ethereum. A node of another chain is not believed."""
    block: BlockTag = "latest"
    """The block that balances are read at."""
    believe_drops_from: BlockTag | None = None
    """A newer block that is read as well: of both balances the lower one counts."""
    max_block_age: Seconds = 300.0
    """Seconds since the node's latest block, above which it counts as standing still."""
    assets: Annotated[dict[str, EvmAsset], Field(min_length=1)]
    """The assets by the name that modes use, such as USDT."""
    accounts: Annotated[dict[str, AccountEntry], Field(min_length=1)]
    """The accounts by name: an address, or a mapping of `address` and `assets`."""
    batch_size: PositiveInt = 1000
    """JSON-RPC calls in one HTTP request; 1 for a provider that takes no batches."""
    concurrency: PositiveInt = 8
    """HTTP requests to one endpoint at the same time."""
    multicall_size: PositiveInt = 500
    """Balances in one call of Multicall3."""

    @field_validator("rpc_urls")
    @classmethod
    def _each_endpoint_once(cls, endpoints: tuple[EvmEndpoint, ...] | None) -> tuple[EvmEndpoint, ...] | None:
        for key in ("url", "name"):
            values = [value for value in (getattr(endpoint, key) for endpoint in endpoints or ()) if value is not None]
            if len(set(values)) < len(values):
                raise PydanticCustomError("endpoint_twins", "must not hold the same {key} twice", {"key": key})
        return endpoints

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
    def _endpoints_fit(self) -> "EvmConfig":
        if (self.rpc_url is None) == (self.rpc_urls is None):
            raise PydanticCustomError("endpoints", "must have either rpc_url or rpc_urls")
        count = len(self.endpoints)
        if self.quorum > count:
            raise PydanticCustomError(
                "quorum",
                "quorum must be at most the number of endpoints ({count}), got {got}",
                {"count": count, "got": self.quorum},
            )
        if self.endpoint_timeout is not None and self.endpoint_timeout * self.tries > self.timeout:
            raise PydanticCustomError(
                "endpoint_timeout",
                "endpoint_timeout must be at most {most} s, so that {tries} tries end within timeout ({timeout} s)",
                {"most": f"{self.timeout / self.tries:g}", "tries": self.tries, "timeout": f"{self.timeout:g}"},
            )
        return self

    @model_validator(mode="after")
    def _drops_are_newer(self) -> "EvmConfig":
        if self.tags[0] != (self.believe_drops_from or self.block):
            raise PydanticCustomError(
                "believe_drops_from",
                "believe_drops_from must not be older than block ({block}), got {got}",
                {"block": self.block, "got": self.believe_drops_from},
            )
        return self

    @property
    def endpoints(self) -> tuple[EvmEndpoint, ...]:
        """Return the endpoints, the preferred one first."""
        if self.rpc_urls is not None:
            return self.rpc_urls
        return () if self.rpc_url is None else (EvmEndpoint(url=self.rpc_url),)

    @property
    def tries(self) -> int:
        """Return how many endpoints may be tried one after another in a reading."""
        return len(self.endpoints) - self.quorum + 1

    @property
    def seconds_per_endpoint(self) -> float:
        """Return how long one endpoint may take, in seconds."""
        return self.endpoint_timeout or self.timeout / self.tries

    @property
    def tags(self) -> tuple[BlockTag, ...]:
        """Return the blocks that balances are read at: one, or two with the newer first."""
        wanted = {self.block, self.believe_drops_from or self.block}
        return tuple(tag for tag in _NEWEST_FIRST if tag in wanted)

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
