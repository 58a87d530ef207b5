"""All that a plugin may import; HTTP is in `reservd.plugin.http`, tests for authors in `reservd.plugin.testing`."""

from reservd.errors import CallError, DeliveryError, FailureReason, SourceError
from reservd.plugin.envelope import CloudEvent
from reservd.plugin.hookspecs import hookimpl
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, Plugin, Replenisher
from reservd.plugin.options import ConfigPath, PluginConfig, Seconds, Secret, SourceConfig, Url
from reservd.reserve.amounts import parse_amount
from reservd.reserve.models import Amount, EventType, ReserveEvent, ReserveStatus
from reservd.reserve.readings import Account, AccountFailure, Balance, Equity, Reading
from reservd.reserve.replenishment import Acceptance, AcceptanceStatus, ReplenishmentRequest, Urgency

__all__ = [
    "Acceptance",
    "AcceptanceStatus",
    "Account",
    "AccountFailure",
    "Amount",
    "Balance",
    "BalanceSource",
    "CallError",
    "CloudEvent",
    "ConfigPath",
    "DeliveryError",
    "Equity",
    "EquitySource",
    "EventSink",
    "EventType",
    "FailureReason",
    "Plugin",
    "PluginConfig",
    "Reading",
    "Replenisher",
    "ReplenishmentRequest",
    "ReserveEvent",
    "ReserveStatus",
    "Seconds",
    "Secret",
    "SourceConfig",
    "SourceError",
    "Urgency",
    "Url",
    "hookimpl",
    "parse_amount",
]
