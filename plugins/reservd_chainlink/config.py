"""The options of the `chainlink` price source."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Amount, Duration, PluginConfig
from reservd.plugin.evm import Address, EvmConfig
from reservd_chainlink.routes import Pair, Step, route

_MAX_FEEDS = 4


class ChainlinkFeed(PluginConfig):
    """One feed."""

    address: Address
    """The address of the feed's proxy, as Chainlink lists it."""
    heartbeat: Duration
    """The longest time between two answers that the feed promises, in seconds, as listed by Chainlink."""
    description: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """What the feed's own `description()` must be, ignoring spaces and case; its name here when left out."""
    minimum: Amount | None = None
    """Lower answers are refused."""
    maximum: Amount | None = None
    """Higher answers are refused."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise PydanticCustomError("order", "minimum must not be above maximum")
        return self


class ChainlinkSequencer(PluginConfig):
    """The feed that reports whether a layer-2 chain's sequencer is up."""

    address: Address
    """The address of the uptime feed's proxy, as Chainlink lists it."""
    grace_period: Duration = 3600.0
    """Seconds after the sequencer came back in which prices do not count yet."""


class ChainlinkConfig(EvmConfig):
    """Options of the `chainlink` price source."""

    feeds: Annotated[dict[Pair, ChainlinkFeed], Field(min_length=1)]
    """The feeds by their pair: `ETH/USD`."""
    pairs: dict[Pair, Annotated[tuple[str, ...], Field(min_length=1, max_length=_MAX_FEEDS)]] = Field(
        default_factory=dict
    )
    """Other pairs, and the feeds that lead from the first asset to the second: `ETH/USDT: [ETH/USD, USDT/USD]`."""
    heartbeat_slack: Annotated[float, Field(ge=0, le=3600)] = 60.0
    """Seconds that an answer may be later than its feed's heartbeat, because a transaction takes time."""
    sequencer: ChainlinkSequencer | None = None
    """The uptime feed of the chain's sequencer; give it on every chain that has one."""

    @field_validator("pairs")
    @classmethod
    def _lead_on(cls, pairs: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        known: Mapping[str, object] = info.data.get("feeds", {})
        for pair, feeds in pairs.items():
            if pair in known:
                raise PydanticCustomError("pair", "must not name {pair}, which is a feed", {"pair": pair})
            for feed in feeds:
                if known and feed not in known:
                    raise PydanticCustomError("feed", "must name feeds only, {feed} is none", {"feed": feed})
            try:
                route(pair, feeds)
            except ValueError as error:
                raise PydanticCustomError("route", "{pair}: {why}", {"pair": pair, "why": str(error)}) from None
        return pairs

    @property
    def routes(self) -> Mapping[str, tuple[Step, ...]]:
        """The feeds behind each available pair."""
        own = {name: (Step(name, inverse=False),) for name in self.feeds}
        return own | {pair: route(pair, feeds) for pair, feeds in self.pairs.items()}
