"""Builds sources and modes from the objects that an embedder passes in."""

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from reservd.config.accounts import identify, resolve_holdings
from reservd.config.document import dotted
from reservd.config.double_counting import find_double_counting
from reservd.config.fingerprint import Fingerprints
from reservd.config.mode import ModeConfig, own_keys
from reservd.config.problems import describe
from reservd.config.references import Instances, connect_all
from reservd.config.wording import show
from reservd.errors import ConfigError
from reservd.monitor.clock import Clock
from reservd.monitor.observer import Observer
from reservd.monitor.sources.adapters import as_balance_source, as_equity_sources
from reservd.monitor.sources.composition import SharedReaders
from reservd.monitor.sources.readers import BalanceReader, EquityReader, PriceReader, Sources
from reservd.monitor.watches.watch import ModeWatch
from reservd.plugin.interfaces import PriceSource
from reservd.reserve.tracker import TrackerState


def parse_mode(mode: str, config: Mapping[str, Any] | ModeConfig) -> ModeConfig:
    """Return a mode's configuration from its strategy's, whose other keys are ignored.

    Raises:
        ConfigError: If a key is unknown, missing or wrong.
    """
    if isinstance(config, ModeConfig):
        return config
    try:
        return ModeConfig.model_validate({**own_keys(dict(config)), "mode": mode})
    except ValidationError as error:
        raise ConfigError([f"{mode}: {line}" for line in describe(error, ModeConfig)]) from None


class Wiring:
    """The sources of one manager.

    Args:
        equity: As for `ReserveManager`, like the next two.
        venues: Balance sources by name.
        prices: Price sources by name.
        observers: Notified of every reading.
        clock: The clock.

    Attributes:
        readers: The readers of the sources, by name.

    Raises:
        ConfigError: If a source builds on one that does not exist, or in the end on itself; or if two sources would
            promise the same money.
    """

    def __init__(
        self,
        equity: object,
        venues: Mapping[str, Any],
        prices: Mapping[str, PriceSource[Any]],
        observers: list[Observer],
        clock: Clock,
    ) -> None:
        self._sources = {name: as_balance_source(name, venue) for name, venue in venues.items()}
        equities = as_equity_sources(equity)
        self._stalenesses: set[float] = set()
        mind = observers, self._stalenesses, clock
        self.readers = Sources(
            {name: BalanceReader(source, *mind) for name, source in self._sources.items()},
            {name: EquityReader(source, *mind) for name, source in equities.items()},
            {name: PriceReader(source, *mind) for name, source in prices.items()},
        )
        instances: Instances = {"balance_sources": self._sources, "equity_sources": equities, "price_sources": prices}
        problems = connect_all(instances, SharedReaders(*self.readers))
        lines = [(name, dotted(way), message) for _, name, way, message in problems]
        lines += [(name, "", message) for name, message in find_double_counting(self._sources)]
        if lines:
            raise ConfigError([": ".join(filter(None, line)) for line in lines])
        self._identities = identify(self._sources)
        self._fingerprints = Fingerprints(instances)

    def fingerprint(self, watch: ModeWatch) -> str:
        """Return the hash of everything that is configured for a mode."""
        named = [name for holding in watch.holdings for name in (holding, *holding.twins)]
        return self._fingerprints.of(watch.config, {name.source for name in named}, watch.equity[0])

    def watch(self, config: ModeConfig, since: float) -> ModeWatch:
        """Return a watch without state. Sources may be left out if there is only one.

        Args:
            config: The mode's configuration.
            since: The time from which staleness counts, in monotonic seconds.

        Raises:
            ConfigError: If the configuration names a source that does not exist.
        """
        equities = self.readers.equities
        if not config.reserve_balance_sources and len(self._sources) == 1:
            config = config.model_copy(update={"reserve_balance_sources": tuple(self._sources)})
        holdings, problems = resolve_holdings(config, self._sources, self._identities)
        lines = [f"{config.mode}: reserve_balance_sources[{index}]: {message}" for index, message in problems]
        if not config.reserve_balance_sources:
            lines.append(f"{config.mode}: reserve_balance_sources: {_choice(self._sources)}")
        equity = config.reserve_equity_source
        if equity is None and len(equities) == 1:
            equity = next(iter(equities))
        if equity is None or equity not in equities:
            got = "" if equity is None else f", got {show(equity)}"
            lines.append(f"{config.mode}: reserve_equity_source: {_choice(equities)}{got}")
        if lines or equity is None:
            raise ConfigError(lines)
        self._stalenesses.add(config.policy.max_staleness.total_seconds())
        place = (equity, equities[equity].key(config.mode, config.share_class))
        return ModeWatch(config, holdings, place, TrackerState(since))


def _choice(names: Collection[str]) -> str:
    """Return what a key must name."""
    return f"must name one of {', '.join(sorted(names))}" if names else "must name a source, but the manager has none"
