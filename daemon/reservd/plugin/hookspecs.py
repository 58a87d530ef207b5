"""The hooks. Each is called once at start, takes no arguments, does no I/O and returns classes."""

from typing import Any

import pluggy

from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, PriceSource, Replenisher

hookspec = pluggy.HookspecMarker("reservd")
hookimpl = pluggy.HookimplMarker("reservd")


@hookspec
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:  # type: ignore[empty-body]
    """Return the classes that read balances."""


@hookspec
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:  # type: ignore[empty-body]
    """Return the classes that read total equity."""


@hookspec
def reservd_register_price_sources() -> list[type[PriceSource[Any]]]:  # type: ignore[empty-body]
    """Return the classes that read prices."""


@hookspec
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:  # type: ignore[empty-body]
    """Return the classes that deliver events."""


@hookspec
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:  # type: ignore[empty-body]
    """Return the classes that request refills from a strategy."""
