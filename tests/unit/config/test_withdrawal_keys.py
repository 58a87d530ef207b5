"""The keys of a mode about withdrawals."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from reservd.config.mode import ModeConfig

KEYS = {"mode": "m", "share_class": "USDT", "reserve_ratio": "0.1"}


def test_withdrawals_leave_the_critical_threshold_and_have_no_limits_unless_they_are_given() -> None:
    policy = ModeConfig.model_validate({**KEYS, "reserve_critical_threshold": "0.2"}).withdrawal
    assert (policy.floor, policy.maximum, policy.maximum_per_period) == (Decimal("0.2"), None, None)
    assert (policy.period, policy.patience, policy.unwinding) == (timedelta(days=1), timedelta(hours=1), None)


def test_withdrawals_are_decided_as_the_mode_says() -> None:
    config = {
        "reserve_withdrawal_floor": 0,
        "reserve_withdrawal_max": "1000.5",
        "reserve_withdrawal_max_per_period": 5000,
        "reserve_withdrawal_period": 3600,
        "reserve_withdrawal_patience": 60,
        "reserve_replenisher": "unwinder",
        "reserve_refill_patience": 7200,
    }
    policy = ModeConfig.model_validate({**KEYS, **config}).withdrawal
    assert (policy.floor, policy.maximum, policy.maximum_per_period) == (0, Decimal("1000.5"), 5000)
    assert (policy.period, policy.patience) == (timedelta(hours=1), timedelta(minutes=1))
    assert policy.unwinding == timedelta(hours=2)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("reserve_withdrawal_floor", "-0.1", "must be at least 0, got -0.1"),
        ("reserve_withdrawal_max", "0", "must be above 0, got 0"),
        ("reserve_withdrawal_max_per_period", "all", "must be a number, got 'all'"),
        ("reserve_withdrawal_period", "0", "must be above 0, got 0"),
        ("reserve_withdrawal_patience", "1e9", "must be at most 2678400, got 1E+9"),
    ],
)
def test_key_is_refused_when_its_value_cannot_be_meant(folder: Any, key: str, value: str, rule: str) -> None:
    folder.mode(more=f"{key}: {value}\n")
    (problem,) = folder.problems()
    assert f": {key}: {rule}" in problem
