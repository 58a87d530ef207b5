"""The standing of a mode, as a daemon reports it, in the terms of the domain: an unknown amount is never a number."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from reservd.client.standing import snapshot_of
from reservd.errors import ReserveUnknownError
from reservd.reserve.models import ReserveStatus
from reservd.wire.modes import ModeDetail

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TOLD = {
    "mode": "alpha",
    "share_class": "USDT",
    "status": "low",
    "incident": {"id": "i", "severity": "low", "opened_at": NOW},
    "reserve_balance": "74.5",
    "target_reserve": "100",
    "utilization": "0.745",
    "shortfall": "25.5",
    "total_equity": "1000",
    "held": "3",
    "runway": {"low_seconds": 0, "critical_seconds": 3600.5},
    "in_flight": {"requests": 1, "awaiting_approval": 0, "amount": "25.5"},
    "inaction": "in_flight",
    "observed_at": NOW,
    "confirmed_at": NOW,
    "checked_at": NOW,
    "missing": ["treasury/main: timeout"],
    "policy": {
        "reserve_ratio": "0.1",
        "low_threshold": "1",
        "critical_threshold": "0.5",
        "interval_seconds": 30,
        "max_staleness_seconds": 120,
        "replenisher": None,
        "requests_over_api": False,
        "event_sinks": [],
        "of_a_newer_daemon": True,
    },
}


def test_snapshot_has_the_amounts_of_the_last_conclusive_check() -> None:
    snapshot = snapshot_of(ModeDetail.model_validate(TOLD))
    assert (snapshot.reserve_balance, snapshot.shortfall) == (Decimal("74.5"), Decimal("25.5"))
    assert (snapshot.status, snapshot.reserve_ratio, snapshot.held) == (ReserveStatus.LOW, Decimal("0.1"), 3)
    assert snapshot.missing == ("treasury/main: timeout",)


def test_snapshot_has_no_amounts_when_the_status_is_unknown() -> None:
    """The last good amounts are too old to be used."""
    snapshot = snapshot_of(ModeDetail.model_validate({**TOLD, "status": "unknown"}))
    assert (snapshot.reserve_balance, snapshot.target_reserve, snapshot.total_equity) == (None, None, None)
    assert snapshot.shortfall is None


def test_snapshot_is_refused_when_the_mode_was_not_checked_yet() -> None:
    with pytest.raises(ReserveUnknownError, match="not been checked yet"):
        snapshot_of(ModeDetail.model_validate({**TOLD, "checked_at": None}))
