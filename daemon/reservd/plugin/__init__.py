"""Everything a plugin may import; HTTP is in `reservd.plugin.http`, tests for authors in `reservd.plugin.testing`."""

from reservd.errors import CallError, DeliveryError, FailureReason, SourceError
from reservd.plugin.acceptance import read_acceptance
from reservd.plugin.composition import BalanceReference, Composite, EquityReference, PriceReference, Readers
from reservd.plugin.hookspecs import hookimpl
from reservd.plugin.interfaces import BalanceSource, EquitySource, EventSink, Plugin, PriceSource, Replenisher
from reservd.plugin.options import ConfigPath, Duration, PluginConfig, Seconds, Secret, SourceConfig, Url
from reservd.reserve.amounts import parse_amount
from reservd.reserve.identity import AccountKey, Identities
from reservd.reserve.models import Amount, EventType, ReserveEvent, ReserveStatus
from reservd.reserve.readings import Account, AccountFailure, Balance, Component, Equity, Price, Reading
from reservd.reserve.replenishment import (
    Acceptance,
    AcceptanceStatus,
    Progress,
    ProgressStatus,
    ReplenishmentRequest,
    Urgency,
)
from reservd.wire.envelope import CloudEvent, ReplenishmentMessage

__all__ = [
    "Acceptance",
    "AcceptanceStatus",
    "Account",
    "AccountFailure",
    "AccountKey",
    "Amount",
    "Balance",
    "BalanceReference",
    "BalanceSource",
    "CallError",
    "CloudEvent",
    "Component",
    "Composite",
    "ConfigPath",
    "DeliveryError",
    "Duration",
    "Equity",
    "EquityReference",
    "EquitySource",
    "EventSink",
    "EventType",
    "FailureReason",
    "Identities",
    "Plugin",
    "PluginConfig",
    "Price",
    "PriceReference",
    "PriceSource",
    "Progress",
    "ProgressStatus",
    "Readers",
    "Reading",
    "Replenisher",
    "ReplenishmentMessage",
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
    "read_acceptance",
]
