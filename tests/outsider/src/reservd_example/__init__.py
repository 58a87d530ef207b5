"""The plugin `example`: a ledger to read balances from, and a board to show statuses on."""

from reservd.plugin import BalanceSource, EventSink, hookimpl
from reservd_example.board import BoardConfig, BoardSink
from reservd_example.ledger import LedgerConfig, LedgerSource


@hookimpl
def reservd_register_balance_sources() -> list[type[BalanceSource[LedgerConfig]]]:
    """Return the ledger."""
    return [LedgerSource]


@hookimpl
def reservd_register_event_sinks() -> list[type[EventSink[BoardConfig]]]:
    """Return the board."""
    return [BoardSink]
