"""What a plugin implements: five small classes, each with one method to write.

The host owns deadlines, retries, counters and logs. A plugin reads or sends, and raises.
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
"""Fewer than the 100 connections of an HTTP client: a call that has begun must not wait for one."""


class Plugin(ABC, Generic[ConfigT]):
    """What all plugin classes share.

    A class is built without I/O; connections are opened in `__aenter__` and closed in `__aexit__`.

    Attributes:
        PLUGIN_NAME: One word, the same as the entry point and the extra.
        Config: The options; the host builds it from the configuration file.
        name: What the configuration calls this instance.
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
        """Close it. Never raises for what is closed already."""


class Source(Plugin[ConfigT]):
    """What balance, equity and price sources share."""

    @property
    def endpoints(self) -> Mapping[str, bool]:
        """
        Return of each endpoint that the source reads through whether it is well, by a name that is no secret.

        For sources that go on without one of several, so that the loss is seen before the next one. The host asks
        after each reading. The names are known without I/O and stay the same; what was not tried yet is well.
        """
        return {}

    @property
    def calls_at_once(self) -> int:
        """
        Return how many calls the host makes at the same time, such as for the equity of different modes.

        The others wait for their turn, and their deadline begins with it. Asked once, before the first call.
        """
        return CALLS_AT_ONCE


class BalanceSource(Source[ConfigT]):
    """Reads what can be paid out now.

    Attributes:
        NON_NEGATIVE: Whether its accounts can only hold 0 or more: then one that could not be
            read still leaves the sum of the others as a certain minimum.
    """

    NON_NEGATIVE: ClassVar[bool] = False

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts by name, known without I/O. One called `main` unless overridden."""
        return {"main": Account("main", self.name, "main")}

    @property
    def pots(self) -> Mapping[str, Sequence[str]]:
        """
        Return what several accounts are paid out of, and which do so in which order, each by its name.

        Such as the free liquidity of a lending pool, which the source counts once over these accounts. Two sources
        that do so for different accounts would promise the same money twice, so the host refuses the second one. Pots
        are named alike by all sources that know them, for people: `USDC of the pool 0x…`. Known without I/O.
        """
        return {}

    @abstractmethod
    async def fetch_balances(self) -> Reading:
        """
        Return what can be paid out right now, one balance per account and asset.

        Returns:
            Balances in whole units of each asset, never in wei or cents, all read at the same
            block or instant; and a failure for each account that could not be read. A missing
            asset is a failure unless the venue documents that absent means none.

        Raises:
            SourceError: If nothing could be read.
        """

    def changes(self) -> AsyncIterator[None] | None:
        """
        Return a stream that yields whenever a balance may have changed, or None when there is no such thing.

        An accelerator only: each time the source is read a little sooner. The host ends the stream, and starts
        another when it breaks; regular readings go on whatever it does. It runs once the source is opened.
        """
        return None

    @property
    def seconds_between_changes(self) -> float:
        """
        Return how long the host waits after a reading that `changes` asked for, before such a reading again.

        For venues that count what they are asked for. What the stream says meanwhile is one change, and read after that
        time. The host never reads more often than four times a second.
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
        """
        Return the total equity of a mode.

        Args:
            mode: The mode. When `by_share_class`, the share class in its place.
            currency: The share-class currency that equity must be counted in.

        Raises:
            SourceError: If it could not be read.
        """


class PriceSource(Source[ConfigT]):
    """Reads what assets cost. Prices serve equity; other assets never count as reserve."""

    @abstractmethod
    async def fetch_price(self, base: str, quote: str) -> Price:
        """
        Return what one unit of `base` costs in units of `quote`.

        May be called for several pairs at the same time.

        Args:
            base: The asset, in the configuration's spelling.
            quote: What it is counted in.

        Raises:
            SourceError: If it could not be read, is not to be believed, or is of a pair that the
                source was not told of: it must never answer for another.
        """


class EventSink(Plugin[ConfigT]):
    """Hands events on to people and programs."""

    _asks: Callable[[], Awaitable[bool]] | None = None

    def let_ask(self, may_send: Callable[[], Awaitable[bool]]) -> None:
        """Answer `may_send` by this from now on; the host's call."""
        self._asks = may_send

    async def may_send(self) -> bool:
        """
        Return whether this daemon still speaks for its modes: another may, if this process was stopped for a while.

        To be asked by a sink that sends something on its own, such as an alert again and again. What `deliver` and
        `resume` are handed may be sent.
        """
        return self._asks is None or await self._asks()

    @abstractmethod
    async def deliver(self, event: CloudEvent) -> None:
        """
        Hand on one event; return once it was taken.

        The same event may come again under the same `event.id`.

        Raises:
            DeliveryError: If it was not taken; `retryable` says whether it may be later, and
                `retry_after_seconds` when the other side asked for that.
        """

    async def deliver_replenishment(self, event: ReplenishmentMessage) -> None:
        """
        Hand on one change of a request for a refill, as `deliver` does an event.

        For sinks that hand on messages as they are. A sink that leaves it out hears of none.

        Raises:
            DeliveryError: As `deliver` does.
        """

    async def resume(self, latest: Sequence[CloudEvent]) -> None:
        """
        Learn how things stand, before the first event after a start.

        For sinks that hold a state on the other side, such as an alert that fires. All others leave it out.

        Args:
            latest: The last event of each mode that this sink hears of, reminders included; sent before.

        Raises:
            DeliveryError: As `deliver` does.
        """


class Replenisher(Plugin[ConfigT]):
    """Asks a strategy to refill its reserve.

    Attributes:
        OVER_API: Whether it hands nothing on, because strategies take requests from the daemon's API themselves.
    """

    OVER_API: ClassVar[bool] = False

    @abstractmethod
    async def request(self, request: ReplenishmentRequest) -> Acceptance:
        """
        Ask for a refill and return the strategy's answer.

        The same request may come again under the same `request.id`; it must be acted on once.

        Raises:
            DeliveryError: If no answer came; `retryable` says whether one may come later.
        """

    async def poll(self, request_id: str) -> Progress | None:
        """
        Ask how far an earlier request is; None when the strategy does not know it.

        For strategies that can be asked. Where it is left out, they report on their own, or nobody does.

        Raises:
            DeliveryError: If no answer came.
        """
        del request_id
        return None
