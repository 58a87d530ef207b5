"""Sources that build on other sources: how options name them, and how they share readings."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from reservd.plugin.interfaces import BalanceSource, EquitySource, PriceSource
from reservd.reserve.readings import Account, Equity, Price, Reading

_MAX_LENGTH = 300

Way = tuple[str | int, ...]
"""The path to an option: keys and indexes from the top."""


class Reference(str):
    """An option that names another instance. The host checks that the instance is configured, and reports it otherwise.

    Attributes:
        KIND: The kind under which the instance is configured.
    """

    __slots__ = ()

    KIND: ClassVar[str]

    @property
    def instance(self) -> str:
        """The name of the instance."""
        return str(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema for validation: it is read from text."""
        text = core_schema.str_schema(min_length=1, max_length=_MAX_LENGTH)
        return core_schema.no_info_after_validator_function(cls, text)


class BalanceReference(Reference):
    """`name` of a balance source, or `name/account`."""

    __slots__ = ()

    KIND = "balance_sources"

    @property
    def instance(self) -> str:
        """The name of the balance source."""
        return self.partition("/")[0]

    @property
    def account(self) -> str:
        """The name of the account; empty for all accounts of the source."""
        return self.partition("/")[2]


class EquityReference(Reference):
    """The name of an equity source."""

    __slots__ = ()

    KIND = "equity_sources"


class PriceReference(Reference):
    """The name of a price source."""

    __slots__ = ()

    KIND = "price_sources"


def references_in(options: object, way: Way = ()) -> Iterator[tuple[Way, Reference]]:
    """Yield every reference in an instance's options, at any depth, with its path."""
    match options:
        case Reference():
            yield way, options
        case BaseModel():
            for name in type(options).model_fields:
                yield from references_in(getattr(options, name), (*way, name))
        case Mapping():
            for key, value in options.items():
                yield from references_in(value, (*way, key))
        case list() | tuple():
            for index, value in enumerate(options):
                yield from references_in(value, (*way, index))


class Readers:
    """Reads other instances for sources that build on them.

    The daemon's subclass reads each instance at most once a cycle, whoever asks, with the instance's own deadline. This
    class reads them directly, for tests; the instances must be open.

    Args:
        balances: Balance sources by name.
        equities: Equity sources by name.
        prices: Price sources by name.
    """

    def __init__(
        self,
        balances: Mapping[str, BalanceSource[Any]] | None = None,
        equities: Mapping[str, EquitySource[Any]] | None = None,
        prices: Mapping[str, PriceSource[Any]] | None = None,
    ) -> None:
        self._balances = balances or {}
        self._equities = equities or {}
        self._prices = prices or {}

    def accounts(self, reference: BalanceReference) -> Mapping[str, Account]:
        """Return the referenced accounts by name. They are known before anything is read."""
        accounts = self._balances[reference.instance].accounts
        return {reference.account: accounts[reference.account]} if reference.account else accounts

    def by_share_class(self, reference: EquityReference) -> bool:
        """Return whether all modes of a share class have the same equity. This is known before anything is read."""
        return self._equities[reference.instance].by_share_class

    async def balances(self, reference: BalanceReference) -> Reading:
        """Read the referenced accounts of the source.

        Raises:
            CallError: If nothing could be read.
        """
        return only(await self._balances[reference.instance].fetch_balances(), reference)

    async def equity(self, reference: EquityReference, mode: str, currency: str) -> Equity:
        """Read the equity of a mode, in the given currency.

        Raises:
            CallError: If it could not be read.
        """
        source = self._equities[reference.instance]
        return await source.fetch_equity(currency if source.by_share_class else mode, currency)

    async def price(self, reference: PriceReference, base: str, quote: str) -> Price:
        """Read the price of one `base` in `quote`.

        Raises:
            CallError: If it could not be read.
        """
        return await self._prices[reference.instance].fetch_price(base, quote)


def only(reading: Reading, reference: BalanceReference) -> Reading:
    """Return the part of a reading that concerns the referenced accounts."""
    if not reference.account:
        return reading
    return Reading(
        [balance for balance in reading.balances if balance.account == reference.account],
        [failure for failure in reading.failures if failure.account == reference.account],
    )


class Composite(ABC):
    """A mixin for sources that build on other instances. Sinks and replenishers cannot.

    Its options name the instances as `BalanceReference`, `EquityReference` and `PriceReference`. Cycles of instances
    are refused.
    """

    @abstractmethod
    def connect(self, readers: Readers) -> None:
        """Set the reader of the instances that the options name.

        Called before the source is opened, once everything that it builds on is connected. `reservd check-config` calls
        it too, and the daemon again when it restarts: the last call counts. It must not read anything yet.

        Raises:
            ValueError: If those instances do not meet the requirements. The text says what must hold; it is reported as
                an error in the configuration.
        """
