"""Options that every EVM plugin shares: the endpoints, the chain, the block."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin.evm.addresses import Address
from reservd.plugin.options import PluginConfig, Seconds, SourceConfig, Url

BlockTag = Literal["latest", "safe", "finalized"]
"""A block that a node names itself, the newest first."""


class EvmEndpoint(PluginConfig):
    """One JSON-RPC endpoint."""

    url: Url
    """The JSON-RPC endpoint. A secret: providers put their keys into it."""
    name: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    """Its name in metrics, logs and errors; its place in the list, from 1, unless given."""


def _from_url(value: object) -> object:
    match value:
        case str():
            return {"url": value}
        case EvmEndpoint() | Mapping():
            return value
    raise PydanticCustomError("endpoint", "must be a URL, or a mapping of url and name")


EndpointEntry = Annotated[EvmEndpoint, BeforeValidator(_from_url, json_schema_input_type=str | EvmEndpoint)]
"""An endpoint as its URL alone, or as a mapping."""


def token_id(token: str) -> str:
    """Return the CAIP-19 name of a token on its chain: `erc20:0x…`."""
    return f"erc20:{token}"


class EvmConfig(SourceConfig):
    """Options of every plugin that reads an EVM chain."""

    rpc_url: Url | None = None
    """The node's JSON-RPC endpoint, if there is only one. A secret: providers put their keys into it."""
    rpc_urls: Annotated[tuple[EndpointEntry, ...], Field(min_length=1, max_length=100)] | None = None
    """Several endpoints, the preferred one first: URLs, or mappings of `url` and `name`."""
    endpoint_timeout: Seconds | None = None
    """How long one endpoint may take, in seconds; an equal share of `timeout` for each attempt unless given."""
    probe_interval: Seconds = 60.0
    """Seconds between two probes of an endpoint that failed, or that is not needed."""
    quorum: PositiveInt = 1
    """How many endpoints must return the same at the same block."""
    quorum_max_lag: NonNegativeInt = 3
    """How many blocks an endpoint of the quorum may be behind the foremost one."""
    chain_id: PositiveInt
    """The chain's EIP-155 id, 1 for Ethereum. A node of another chain is refused."""
    block: BlockTag = "latest"
    """The block to read. The last two are final and minutes old."""
    max_block_age: Seconds = 300.0
    """The largest age of the node's latest block, in seconds; above it, the node counts as stalled."""
    multicall: Address | None = "0xca11bde05977b3631167028862be2a173976ca11"
    """The address of Multicall3, used if its code is there; `null` makes each call by itself."""
    multicall_size: PositiveInt = 100
    """The number of calls in one call of Multicall3."""
    batch_size: PositiveInt = 1000
    """The number of JSON-RPC calls in one HTTP request; 1 for a provider that refuses batches."""
    concurrency: PositiveInt = 8
    """The number of HTTP requests to one endpoint at the same time."""

    @field_validator("rpc_urls")
    @classmethod
    def _each_endpoint_once(cls, endpoints: tuple[EvmEndpoint, ...] | None) -> tuple[EvmEndpoint, ...] | None:
        for key in ("url", "name"):
            values = [value for value in (getattr(endpoint, key) for endpoint in endpoints or ()) if value is not None]
            if len(set(values)) < len(values):
                raise PydanticCustomError("endpoint_twins", "must not hold the same {key} twice", {"key": key})
        return endpoints

    @model_validator(mode="after")
    def _endpoints_fit(self) -> Self:
        if (self.rpc_url is None) == (self.rpc_urls is None):
            raise PydanticCustomError("endpoints", "must have either rpc_url or rpc_urls")
        count = len(self.endpoints)
        if len(set(self.labels)) < count:
            raise PydanticCustomError("endpoint_names", "rpc_urls must not name an endpoint by the place of another")
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

    @property
    def venue(self) -> str:
        """The chain's CAIP-2 name, such as `eip155:1`."""
        return f"eip155:{self.chain_id}"

    @property
    def endpoints(self) -> tuple[EvmEndpoint, ...]:
        """The endpoints, the preferred one first."""
        if self.rpc_urls is not None:
            return self.rpc_urls
        return () if self.rpc_url is None else (EvmEndpoint(url=self.rpc_url),)

    @property
    def labels(self) -> tuple[str, ...]:
        """The endpoints' names for people, in the same order."""
        return tuple(endpoint.name or str(place) for place, endpoint in enumerate(self.endpoints, start=1))

    @property
    def tries(self) -> int:
        """How many endpoints a reading may try one after another."""
        return len(self.endpoints) - self.quorum + 1

    @property
    def seconds_per_endpoint(self) -> float:
        """How long one endpoint may take, in seconds."""
        return self.endpoint_timeout or self.timeout / self.tries
