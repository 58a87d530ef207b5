"""Programs of your own: they get events and requests on standard input, and answer on standard output."""

from typing import Any

from reservd.plugin import BalanceSource, EquitySource, EventSink, Replenisher, hookimpl
from reservd_command.balances import CommandBalanceSource
from reservd_command.equity import CommandEquitySource
from reservd_command.replenisher import CommandReplenisher
from reservd_command.sink import CommandSink


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[Any]]]:
    """Register the `command` balance source."""
    return [CommandBalanceSource]


@hookimpl
def reservd_register_equity_sources() -> list[type[EquitySource[Any]]]:
    """Register the `command` equity source."""
    return [CommandEquitySource]


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[Any]]]:
    """Register the `command` sink."""
    return [CommandSink]


@hookimpl
def reservd_register_replenishers() -> list[type[Replenisher[Any]]]:
    """Register the `command` replenisher."""
    return [CommandReplenisher]
