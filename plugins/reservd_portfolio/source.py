"""The `portfolio` equity source."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from decimal import Context
from typing import TypeVar

from reservd.plugin import (
    AccountFailure,
    Balance,
    CallError,
    Composite,
    Equity,
    EquitySource,
    FailureReason,
    Readers,
    Reading,
    SourceError,
)
from reservd_portfolio.config import PortfolioConfig
from reservd_portfolio.places import Place, find_places
from reservd_portfolio.prices import fetch_price
from reservd_portfolio.tally import Tally

K = TypeVar("K")
T = TypeVar("T")

_EXACT = Context(prec=130)  # two amounts of 60 digits and 60 decimals


class PortfolioEquitySource(EquitySource[PortfolioConfig], Composite):
    """Adds up what other sources read in the same cycle. It makes no requests itself."""

    PLUGIN_NAME = "portfolio"
    Config = PortfolioConfig

    def __init__(self, name: str, config: PortfolioConfig) -> None:
        super().__init__(name, config)
        self._readers: Readers | None = None
        self._places: tuple[Place, ...] = ()
        self._assets: frozenset[str] = frozenset()
        self._by_share_class = not config.equity

    def connect(self, readers: Readers) -> None:
        """Keep the readers of the parts; raises `ValueError` if parts do not exist or would count twice."""
        config = self.config
        self._places = find_places(config, readers)
        currencies = {part.currency or config.currency for part in config.equity}
        self._assets = frozenset({place.asset for place in self._places} | currencies) - {config.currency}
        self._by_share_class = all(readers.by_share_class(part.source) for part in config.equity)
        self._readers = readers

    @property
    def by_share_class(self) -> bool:
        """Whether all modes get the same equity: true unless a part is by mode."""
        return self._by_share_class

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the sum of all parts, with its components.

        Raises:
            SourceError: If another currency is requested, or any part or needed price is missing.
        """
        config = self.config
        if currency != config.currency:
            raise SourceError(FailureReason.INVALID_DATA, f"is counted in {config.currency}, not in {currency}")
        readers = self._readers
        if readers is None:
            raise SourceError(FailureReason.INTERNAL, "the source is not connected")
        readings, equities, prices = await asyncio.gather(
            _all(dict.fromkeys(place.reference for place in self._places), readers.balances),
            _all(config.equity, lambda part: readers.equity(part.source, mode, part.currency or currency)),
            _all(self._assets, lambda asset: fetch_price(readers, asset, currency, config.prices[asset])),
        )
        tally = Tally(currency, prices)
        found = {source: _Found(reading) for source, reading in readings.items()}
        for place in self._places:
            _count(tally, place, found[place.reference].at(place))
        for part, equity in equities.items():
            of = part.currency or currency
            label = part.source.instance if of == currency else f"{part.source} {of}"
            if isinstance(equity, CallError):
                tally.lack(label, equity)
            else:
                tally.add_equity(label, equity, of)
        return tally.equity(config.max_skew)


async def _all(keys: Iterable[K], call: Callable[[K], Awaitable[T]]) -> dict[K, T | CallError]:
    """Make all calls at the same time and return the result, or the failure, of each."""

    async def outcome(key: K) -> T | CallError:
        try:
            return await call(key)
        except CallError as error:
            return error

    keys = tuple(keys)
    return dict(zip(keys, await asyncio.gather(*map(outcome, keys)), strict=True))


class _Found:
    """The balances that were read from one balance source."""

    def __init__(self, reading: Reading | CallError) -> None:
        self._failed = reading if isinstance(reading, CallError) else None
        self._places: dict[tuple[str, str | None], Balance | AccountFailure] = {}
        if isinstance(reading, Reading):
            self._places |= {(each.account, each.asset): each for each in reading.failures}
            self._places |= {(each.account, each.asset): each for each in reading.balances}

    def at(self, place: Place) -> Balance | CallError:
        """Return the balance, or why there is none. Absent is not zero."""
        if self._failed is not None:
            return self._failed
        # A failure without an asset applies to the whole account.
        found = self._places.get((place.account, place.asset)) or self._places.get((place.account, None))
        if found is None:
            return SourceError(FailureReason.INVALID_DATA, "is missing from the reading")
        return SourceError(found.reason, found.detail) if isinstance(found, AccountFailure) else found


def _count(tally: Tally, place: Place, found: Balance | CallError) -> None:
    if isinstance(found, CallError):
        tally.lack(place.label, found)
        return
    amount = found.amount
    if place.options.locked:
        if found.locked is None:
            detail = "the venue does not report what is locked: set locked: false to leave it out"
            lacking = SourceError(FailureReason.INVALID_DATA, detail)
            tally.lack(place.label, lacking)
            return
        amount = _EXACT.add(amount, found.locked)
    tally.add(place.label, place.asset, amount.copy_negate() if place.options.debt else amount, found.observed_at)
