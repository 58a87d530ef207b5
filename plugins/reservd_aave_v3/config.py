"""The options of the `aave_v3` sources."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, Duration, PluginConfig
from reservd.plugin.evm import Address, EvmConfig


def _each_once(addresses: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse two names of one address: its money would count twice."""
    first: dict[str, str] = {}
    for name, address in addresses.items():
        twin = first.setdefault(address, name)
        if twin != name:
            raise PydanticCustomError(
                "twins",
                "must not name the same address twice: '{twin}' and '{name}' are both {address}",
                {"twin": twin, "name": name, "address": address},
            )
    return addresses


Addresses = Annotated[dict[str, Address], Field(min_length=1), AfterValidator(_each_once)]
"""Different addresses, by name; at least one."""


class AaveV3PoolConfig(EvmConfig):
    """Options of both `aave_v3` sources."""

    pool: Address
    """The address of the market's Pool."""
    accounts: Addresses
    """The addresses that hold aTokens, by name; the pool's liquidity is assigned in this order."""
    reserves: Addresses
    """The underlying tokens, by the name that modes use; an account's headroom is assigned in this order."""


class AaveV3Config(AaveV3PoolConfig):
    """Options of the `aave_v3` balance source."""

    # Aave rounds the average liquidation threshold down to whole basis points before it compares
    # the health factor with 1: closer to 1 than this, the withdrawal may be refused.
    min_health_factor: Annotated[Amount, Field(ge=Decimal("1.01"))] = Decimal("1.5")
    """The health factor that withdrawals must leave to an account; accounts without debt have none."""


class AaveV3PriceFeed(PluginConfig):
    """The feed behind the price that the pool's oracle has for a reserve."""

    heartbeat: Duration
    """The longest time between two answers that the feed promises, in seconds, as listed by Chainlink."""
    address: Address | None = None
    """The feed's proxy, if the oracle's source is an adapter without times; by default the oracle's source itself."""


class AaveV3EquityConfig(AaveV3PoolConfig):
    """Options of the `aave_v3` equity source."""

    convert: bool = False
    """Whether reserves other than the share class count too, at the prices of the pool's oracle."""
    feeds: dict[str, AaveV3PriceFeed | None] = Field(default_factory=dict)
    """The feeds behind those prices, by reserve; null for a price without an age, such as a fixed one."""
    heartbeat_slack: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Seconds that an answer may be later than its feed's heartbeat, because a transaction takes time."""

    @model_validator(mode="after")
    def _each_has_its_feed(self) -> Self:
        """Refuse prices without a feed, and feeds without a price."""
        for name in self.feeds:
            if name not in self.reserves:
                raise PydanticCustomError("feed", "feeds must name reserves only, {name} is none", {"name": name})
        if self.convert and len(self.reserves) > 1:
            for name in self.reserves:
                if name not in self.feeds:
                    raise PydanticCustomError("no_feed", "feeds must name {name}, to be converted", {"name": name})
        return self
