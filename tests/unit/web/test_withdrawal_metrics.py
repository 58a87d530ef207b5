"""The metrics of withdrawals, as Prometheus reads them."""

from decimal import Decimal

from prometheus_client import CollectorRegistry

from reservd.reserve.withdrawal import Refusal
from reservd.service.withdrawals import WithdrawalDecision
from reservd.web.withdrawal_metrics import WithdrawalMetrics
from support.holds import make_hold


def test_every_series_is_there_from_the_start() -> None:
    metrics = WithdrawalMetrics(registry := CollectorRegistry())
    metrics.configure(["m"])
    assert registry.get_sample_value("reservd_withdrawals_total", {"speed": "fast"}) == 0
    assert registry.get_sample_value("reservd_withdrawals_refused_total", {"reason": "over_maximum"}) == 0
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "m"}) is None
    metrics.watch(owner=True)
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "m"}) == 0


def test_decision_is_counted_once_however_often_it_is_asked_for() -> None:
    metrics = WithdrawalMetrics(registry := CollectorRegistry())
    metrics.configure(["m"])
    metrics.decided(WithdrawalDecision.of(make_hold(1)), 0.001)
    metrics.decided(WithdrawalDecision.of(make_hold(1), repeated=True), 0.001)
    metrics.decided(WithdrawalDecision.refused("m", Decimal(1), "USDT", Refusal.STORE_GONE), 0.001)
    assert registry.get_sample_value("reservd_withdrawals_total", {"speed": "fast"}) == 1
    assert registry.get_sample_value("reservd_withdrawals_refused_total", {"reason": "store_gone"}) == 1
    assert registry.get_sample_value("reservd_withdrawal_decision_duration_seconds_count") == 3


def test_overdue_holds_are_told_by_the_owner_alone_and_end() -> None:
    metrics = WithdrawalMetrics(registry := CollectorRegistry())
    metrics.configure(["m"])
    metrics.watch(owner=True)
    metrics.overdue({"m": 2, "gone": 1})
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "m"}) == 2
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "gone"}) == 1
    metrics.overdue({})
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "m"}) == 0
    metrics.watch(owner=False)
    assert registry.get_sample_value("reservd_holds_overdue", {"mode": "m"}) is None
