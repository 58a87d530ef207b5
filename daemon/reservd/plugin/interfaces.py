"""The base classes of plugins: five small classes, each with one method to write.

The host handles deadlines, retries, counters and logs. A plugin reads or sends, and raises.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Generic, Self, TypeVar

from reservd.plugin.options import PluginConfig
from reservd.reserve.readings import Account, Equity, Price, Reading
from reservd.reserve.replenishment import Acceptance, Progress, ReplenishmentRequest
from reservd.wire.envelope import CloudEvent, ReplenishmentMessage

ConfigT = TypeVar("ConfigT", bound=PluginConfig)

CALLS_AT_ONCE = 64
"""Fewer than the 100 connections of an HTTP client, so that no call waits for a connection."""


class Plugin(ABC, Generic[ConfigT]):
    """The base of all plugin classes.

    An instance is created without I/O. Connections are opened in `__aenter__` and closed in `__aexit__`.

    Attributes:
        PLUGIN_NAME: One word, the same as the entry point and the extra.
        Config: The options. The host builds them from the configuration file.
        name: The name of this instance in the configuration.
        config: Its options.
    """

    PLUGIN_NAME: ClassVar[str]
    Config: ClassVar[type[PluginConfig]]

    def __init__(self, name: str, config: ConfigT) -> None:
        self.name = name
        self.config = config

    async def __aenter__(self) -> Self:
        """Open what the plugin needs. May be called again after a failure or a close."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it. Must not raise if it is closed already."""


class Source(Plugin[ConfigT]):
    """The base of balance, equity and price sources."""

    @property
    def endpoints(self) -> Mapping[str, bool]:
        """Return the health of each endpoint that the source reads through, by a name that holds no secret.

        For sources that can do without one of several endpoints, so that the loss of one is seen before the next. The
        host asks after each reading. The names are known without I/O and never change; an endpoint that has not been
        tried counts as healthy.
        """
        return {}

    @property
    def calls_at_once(self) -> int:
        """Return how many calls the host may make at the same time, for the equity of different modes for instance.

        Further calls wait, and their deadline starts when they begin. Read once, before the first call.
        """
        return CALLS_AT_ONCE


class BalanceSource(Source[ConfigT]):
    """Reads what can be paid out now.

    Attributes:
        NON_NEGATIVE: Whether its accounts can only hold 0 or more. If so, the sum of those that could be read
            is a certain minimum.
    """

    NON_NEGATIVE: ClassVar[bool] = False

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts by name, known without I/O. One called `main` unless overridden."""
        return {"main": Account("main", self.name, "main")}

    @property
    def pots(self) -> Mapping[str, Sequence[str]]:
        """Return the pots of money that several accounts are paid out of: the accounts of each, in order, by its name.

        One is the free liquidity of a lending pool, which the source counts once over these accounts. Two sources that
        count one pot for different accounts would promise the same money twice, so the host refuses the second. Every
        source gives a pot the same readable name, such as `USDC of the pool 0x…`. Known without I/O.
        """
        return {}

    @abstractmethod
    async def fetch_balances(self) -> Reading:
        """Return what can be paid out right now, one balance per account and asset.

        Returns:
            Balances in whole units of each asset, never in wei or cents, all read at the same block or instant; and a
            failure for each account that could not be read. A missing asset is a failure unless the venue documents
            that absent means none.

        Raises:
            SourceError: If nothing could be read.
        """

    def changes(self) -> AsyncIterator[None] | None:
        """Return a stream that yields whenever a balance may have changed, or None if there is none.

        An accelerator only: the source is then read ahead of its interval. Regular readings go on whatever the stream
        does. The host starts it once the source is opened, closes it, and starts another when it breaks.
        """
        return None

    @property
    def seconds_between_changes(self) -> float:
        """Return the least time between two readings that `changes` triggers.

        For venues with rate limits. All that the stream yields in between counts as one change, which is read at the
        end of that time. The host never reads more than four times a second.
        """
        return 0.0


class EquitySource(Source[ConfigT]):
    """Reads the total equity of a mode."""

    @property
    def by_share_class(self) -> bool:
        """Whether all modes of a share class get the same answer, so that one call serves them all."""
        return False

    @abstractmethod
    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the total equity of a mode.

        Args:
            mode: The mode. When `by_share_class`, the share class in its place.
            currency: The share-class currency that equity must be counted in.

        Raises:
            SourceError: If it could not be read.
        """


class PriceSource(Source[ConfigT]):
    """Reads the prices of assets. Prices serve to compute equity; other assets never count as reserve."""

    @abstractmethod
    async def fetch_price(self, base: str, quote: str) -> Price:
        """Return what one unit of `base` costs in units of `quote`.

        May be called for several pairs at the same time.

        Args:
            base: The asset, in the configuration's spelling.
            quote: The asset that the price is in.

        Raises:
            SourceError: If it could not be read, cannot be trusted, or the source is not configured for
                the pair: it must never return the price of another.
        """


class EventSink(Plugin[ConfigT]):
    """Delivers events to people and programs."""

    _asks: Callable[[], Awaitable[bool]] | None = None

    def let_ask(self, may_send: Callable[[], Awaitable[bool]]) -> None:
        """Set what `may_send` asks. Called by the host."""
        self._asks = may_send

    async def may_send(self) -> bool:
        """Return whether this daemon still owns its store: if the process was suspended, another may have taken over.

        For sinks that send on their own, such as an alert that is repeated. What `deliver` and `resume` are given may
        be sent without asking.
        """
        return self._asks is None or await self._asks()

    @abstractmethod
    async def deliver(self, event: CloudEvent) -> None:
        """Deliver one event; return once the receiver has taken it.

        The same event may come again under the same `event.id`.

        Raises:
            DeliveryError: If it was not taken; `retryable` says whether a later attempt may succeed, and
                `retry_after_seconds` how long the receiver asked to wait, if it did.
        """

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """Deliver one change of a request for a refill, as `deliver` does an event.

        For sinks that pass messages on unchanged. A sink that does not override it gets none.

        Raises:
            DeliveryError: As `deliver` does.
        """

    async def resume(self, latest: Sequence[CloudEvent]) -> None:
        """Restore the current state, before the first event after a start.

        For sinks that keep a state at the receiver, such as an alert that fires. All other sinks need not override it.

        Args:
            latest: The last event of each mode that this sink receives, reminders included. All were sent before.

        Raises:
            DeliveryError: As `deliver` does.
        """


class Replenisher(Plugin[ConfigT]):
    """Asks a strategy to refill its reserve.

    Attributes:
        OVER_API: Whether it sends nothing, because strategies fetch requests from the daemon's API.
    """

    OVER_API: ClassVar[bool] = False

    @abstractmethod
    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """Request a refill and return the strategy's answer.

        The same request may come again under the same `request.id`; it must be acted on once.

        Raises:
            DeliveryError: If no answer came; `retryable` says whether a later attempt may get one.
        """

    async def poll(self, request_id: str) -> Progress | None:
        """Ask how far an earlier request is; None when the strategy does not know it.

        For strategies that can be asked. If it is left out, they must report their progress themselves.

        Raises:
            DeliveryError: If no answer came.
        """
        del request_id
        return None
