"""Watch how much of each strategy's equity is liquid, and say so before redemptions outrun it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reservd._version import __version__

if TYPE_CHECKING:
    from reservd.errors import ConfigError, ReservdError, ReserveUnknownError
    from reservd.monitor.manager import ReserveManager
    from reservd.reserve.models import EventType, ReserveEvent, ReserveSnapshot, ReserveStatus
    from reservd.service.event_log import ReserveEventLogger
    from reservd.service.strategy import BaseStrategyManager
    from reservd.service.withdrawals import WithdrawalManager

__all__ = [
    "BaseStrategyManager",
    "ConfigError",
    "EventType",
    "ReservdError",
    "ReserveEvent",
    "ReserveEventLogger",
    "ReserveManager",
    "ReserveSnapshot",
    "ReserveStatus",
    "ReserveUnknownError",
    "WithdrawalManager",
    "__version__",
]

# Resolved on first use: the command line imports this package and must not pay for the scheduler.
_HOMES = {
    "BaseStrategyManager": "reservd.service.strategy",
    "ConfigError": "reservd.errors",
    "EventType": "reservd.reserve.models",
    "ReservdError": "reservd.errors",
    "ReserveEvent": "reservd.reserve.models",
    "ReserveEventLogger": "reservd.service.event_log",
    "ReserveManager": "reservd.monitor.manager",
    "ReserveSnapshot": "reservd.reserve.models",
    "ReserveStatus": "reservd.reserve.models",
    "ReserveUnknownError": "reservd.errors",
    "WithdrawalManager": "reservd.service.withdrawals",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'reservd' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
