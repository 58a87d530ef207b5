"""Adapts objects with `get_balances()` or `calculate_equity(share_class)` to sources.

Their methods may be async or not. A plain one runs on a thread, so that it may block, and is abandoned at its deadline.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reservd.errors import FailureReason, SourceError
from reservd.monitor.sources.platform_calls import PlatformCalls
from reservd.plugin.interfaces import CALLS_AT_ONCE, BalanceSource, EquitySource
from reservd.plugin.options import SourceConfig
from reservd.reserve.amounts import parse_amount
from reservd.reserve.readings import AccountFailure, Balance, Equity, Reading


class VenueInterface(BalanceSource[SourceConfig]):
    """A balance source around an object with `get_balances()`, a mapping of asset to amount.

    An asset that is not in the mapping is missing, not zero.
    """

    PLUGIN_NAME = "venue"
    Config = SourceConfig

    def __init__(self, name: str, venue: Any) -> None:
        super().__init__(name, SourceConfig())
        self._calls = PlatformCalls(venue.get_balances)

    async def fetch_balances(self) -> Reading:
        """Call the venue."""
        answer = await self._calls.call()
        if not isinstance(answer, Mapping):
            raise SourceError(
                FailureReason.INVALID_DATA, f"get_balances() returned {type(answer).__name__}, not a mapping"
            )
        now = datetime.now(UTC)
        balances, failures = [], []
        for asset, amount in answer.items():
            try:
                balances.append(Balance("main", str(asset), parse_amount(amount), now))
            except (TypeError, ValueError) as error:
                failures.append(AccountFailure("main", FailureReason.INVALID_DATA, str(error), str(asset)))
        return Reading(balances, failures)


class EquityCalculator(EquitySource[SourceConfig]):
    """An equity source around an object with `calculate_equity(share_class)`, whose result has `total_equity`."""

    PLUGIN_NAME = "calculator"
    Config = SourceConfig

    def __init__(self, name: str, calculator: Any) -> None:
        super().__init__(name, SourceConfig())
        self._calls = PlatformCalls(calculator.calculate_equity)

    @property
    def by_share_class(self) -> bool:
        """Whether equity is by share class; always true for such a calculator."""
        return True

    @property
    def calls_at_once(self) -> int:
        """One for a plain method, which may not be thread-safe."""
        return CALLS_AT_ONCE if self._calls.is_async else 1

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Call the calculator."""
        del mode
        answer = await self._calls.call(currency)
        try:
            total = answer.total_equity
        except AttributeError:
            got = type(answer).__name__
            detail = f"calculate_equity() must return an object with total_equity, returned {got}"
            raise SourceError(FailureReason.INVALID_DATA, detail) from None
        try:
            return Equity(parse_amount(total, "total_equity"), currency, datetime.now(UTC))
        except (TypeError, ValueError) as error:
            raise SourceError(FailureReason.INVALID_DATA, str(error)) from None


def as_balance_source(name: str, venue: object) -> BalanceSource[Any]:
    """Return `venue` as a balance source.

    Raises:
        TypeError: If it is not one and has no `get_balances()`.
    """
    if isinstance(venue, BalanceSource):
        return venue
    if callable(getattr(venue, "get_balances", None)):
        return VenueInterface(name, venue)
    raise TypeError(f"venue '{name}' must be a BalanceSource or have get_balances(), got {type(venue).__name__}")


def as_equity_sources(calculator: object) -> dict[str, EquitySource[Any]]:
    """Return one calculator, or a mapping of names to calculators, as equity sources by name.

    Raises:
        TypeError: If one is not an equity source and has no `calculate_equity(share_class)`.
    """
    named = calculator if isinstance(calculator, Mapping) else {"equity_calculator": calculator}
    sources: dict[str, EquitySource[Any]] = {}
    for name, source in named.items():
        if isinstance(source, EquitySource):
            sources[name] = source
        elif callable(getattr(source, "calculate_equity", None)):
            sources[name] = EquityCalculator(name, source)
        else:
            got = type(source).__name__
            raise TypeError(f"'{name}' must be an EquitySource or have calculate_equity(share_class), got {got}")
    return sources
