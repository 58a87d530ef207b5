"""The metrics page, as the parser of the Prometheus client reads it."""

import math
from collections.abc import Iterable
from decimal import Decimal

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from reservd.errors import FailureReason
from reservd.monitor.observer import Checked
from reservd.reserve.models import EventType, ReserveStatus
from reservd.reserve.replenishment import AcceptanceStatus
from reservd.reserve.tracker import Instant
from reservd.web.metrics import Metrics, Series
from support.reserve import NOON, Watched, lose, reach

STATUSES = list(ReserveStatus)
MONEY = (
    "reservd_reserve_balance",
    "reservd_total_equity",
    "reservd_target_reserve",
    "reservd_reserve_utilization_ratio",
    "reservd_reserve_shortfall",
    "reservd_reserve_held",
)


def make_metrics() -> Metrics:
    """Return the metrics of the mode that `Watched` watches, with one of everything else."""
    return Metrics(Series({"lending": "USDT"}, [30.0], ["bank"], ["ops"], ["unwinder"]))


def families(metrics: Metrics) -> list[Metric]:
    return list(text_string_to_metric_families(metrics.render(metrics.take()).decode()))


def values(metrics: Metrics, name: str, **labels: str) -> list[float]:
    """Return the samples of a name with at least these labels."""
    samples = (sample for family in families(metrics) for sample in family.samples)
    return [sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]


def tell(metrics: Metrics, mode: Watched) -> None:
    """Pass the last check of a mode to the metrics."""
    assert mode.step is not None
    assert mode.state.good is not None
    metrics.checked(Checked(mode.policy.mode, mode.state.good, mode.step))


def statuses(metrics: Metrics) -> dict[str, float]:
    return {status: values(metrics, "reservd_reserve_status", status=status)[0] for status in STATUSES}


def incidents(metrics: Metrics) -> dict[str, float]:
    return {severity: values(metrics, "reservd_incident_open", severity=severity)[0] for severity in STATUSES[1:3]}


def test_incident_stays_open_before_the_first_check_when_it_was_open_before_a_restart() -> None:
    """Missing data never resolves an alert, however long the first check takes."""
    mode, metrics = reach(ReserveStatus.LOW), make_metrics()
    metrics.began(mode.policy.mode, mode.state)
    assert incidents(metrics) == {"low": 1, "critical": 0}
    assert statuses(metrics)["low"] == 1
    assert values(metrics, "reservd_reserve_balance") == [74]


def test_page_is_a_valid_exposition() -> None:
    """Each family once, with its help and type; each series once, with the mode's labels."""
    metrics = make_metrics()
    tell(metrics, reach(ReserveStatus.LOW))
    found = families(metrics)
    names = [family.name for family in found]
    assert len(set(names)) == len(names)
    assert {*MONEY, "reservd_reserve_status", "reservd_incident_open", "reservd_last_snapshot_timestamp_seconds"} <= {
        *names
    }
    assert [family.name for family in found if not family.documentation or family.type == "unknown"] == []
    series = [(sample.name, *sorted(sample.labels.items())) for family in found for sample in family.samples]
    assert len(set(series)) == len(series)
    for name in MONEY:
        assert len(values(metrics, name, mode="lending", share_class="USDT")) == 1


@pytest.mark.parametrize(
    ("name", "label", "closed"),
    [
        ("reservd_fetch_failures_total", {"source": "bank"}, ("reason", FailureReason)),
        ("reservd_delivery_failures_total", {"sink": "ops"}, ("reason", FailureReason)),
        ("reservd_replenishment_failures_total", {"replenisher": "unwinder"}, ("reason", FailureReason)),
        ("reservd_replenishment_requests_total", {"replenisher": "unwinder"}, ("outcome", AcceptanceStatus)),
        ("reservd_events_total", {}, ("type", EventType)),
        ("reservd_deliveries_ended_total", {"sink": "ops"}, ("state", ("dead", "superseded", "silenced"))),
        ("reservd_checks_total", {}, ("outcome", ("conclusive", "inconclusive"))),
    ],
)
def test_counter_is_there_at_zero_for_every_closed_value_before_anything_happened(
    name: str, label: dict[str, str], closed: tuple[str, Iterable[str]]
) -> None:
    """Otherwise `rate()` and `increase()` would miss the first failure."""
    metrics = make_metrics()
    key, members = closed
    for member in members:
        assert values(metrics, name, **label, **{key: str(member)}) == [0], f"{name} {member}"
    assert len(values(metrics, name)) == len(list(members))


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("reservd_fetches_total", {"source": "bank"}),
        ("reservd_fetch_duration_seconds_count", {"source": "bank"}),
        ("reservd_source_last_success_timestamp_seconds", {"source": "bank"}),
        ("reservd_source_up", {"source": "bank"}),
        ("reservd_deliveries_total", {"sink": "ops"}),
        ("reservd_deliveries_pending", {"sink": "ops"}),
        ("reservd_cycle_overruns_total", {"interval": "30"}),
        ("reservd_cycle_duration_seconds_count", {"interval": "30"}),
    ],
)
def test_series_is_there_at_zero_before_anything_happened(name: str, label: dict[str, str]) -> None:
    assert values(make_metrics(), name, **label) == [0]


def test_endpoint_is_up_until_it_is_known_to_be_down() -> None:
    """An alert must not fire for an endpoint that has not been needed yet."""
    metrics = Metrics(Series({"lending": "USDT"}, sources=["bank"], endpoints=[("bank", "one"), ("bank", "two")]))
    assert values(metrics, "reservd_source_endpoint_up") == [1, 1]
    metrics.endpoint_is("bank", "two", up=False)
    assert values(metrics, "reservd_source_endpoint_up", endpoint="one") == [1]
    assert values(metrics, "reservd_source_endpoint_up", endpoint="two") == [0]


def test_endpoint_is_left_out_when_the_configuration_names_it_no_longer() -> None:
    """An endpoint that remains starts again, with its connection."""
    metrics = Metrics(Series({"lending": "USDT"}, sources=["bank"], endpoints=[("bank", "one"), ("bank", "two")]))
    metrics.endpoint_is("bank", "one", up=False)
    metrics.configure(Series({"lending": "USDT"}, sources=["bank"], endpoints=[("bank", "one")]))
    assert values(metrics, "reservd_source_endpoint_up") == [1]
    assert values(metrics, "reservd_source_endpoint_up", endpoint="one") == [1]


@pytest.mark.parametrize("reason", list(FailureReason))
def test_failure_is_counted_under_its_reason_alone(reason: FailureReason) -> None:
    metrics = make_metrics()
    metrics.fetched("bank", 0.1, reason)
    metrics.deliveries.delivered("ops", 0.1, reason)
    metrics.replenishments.requested("unwinder", None, reason)
    for name in ("fetch_failures", "delivery_failures", "replenishment_failures"):
        counted = {each: values(metrics, f"reservd_{name}_total", reason=each)[0] for each in FailureReason}
        assert counted == {each: float(each is reason) for each in FailureReason}
    assert values(metrics, "reservd_fetches_total") == [1]
    assert values(metrics, "reservd_source_last_success_timestamp_seconds") == [0]
    assert values(metrics, "reservd_deliveries_total") == [0]


def test_money_has_no_series_when_nothing_was_read() -> None:
    """Absent is not zero."""
    metrics = make_metrics()
    for name in (*MONEY, "reservd_last_snapshot_timestamp_seconds"):
        assert values(metrics, name) == []
    assert statuses(metrics) == {"adequate": 0, "low": 0, "critical": 0, "unknown": 1}
    assert incidents(metrics) == {"low": 0, "critical": 0}


def test_money_is_told_to_its_last_digit() -> None:
    metrics, mode = make_metrics(), Watched()
    mode.look("123456789.123456789012345678", equity="1000000000.000000000000000001")
    tell(metrics, mode)
    page = metrics.render(metrics.take()).decode()
    labels = '{mode="lending",share_class="USDT"}'
    assert f"reservd_reserve_balance{labels} 123456789.123456789012345678\n" in page
    assert f"reservd_total_equity{labels} 1000000000.000000000000000001\n" in page


@pytest.mark.parametrize("amount", ["1E+3", "1E-30", "-5", "0E+2"])
def test_money_is_understood_however_python_writes_it(amount: str) -> None:
    metrics, mode = make_metrics(), Watched()
    mode.look(Decimal(amount), equity=1)
    tell(metrics, mode)
    assert values(metrics, "reservd_reserve_balance") == [float(amount)]


@pytest.mark.parametrize("change", [{"ratio": Decimal(0)}, {"equity": 0}])
def test_utilization_is_nan_when_the_target_is_zero(change: dict[str, object]) -> None:
    """Coverage is undefined, and 0 would mean CRITICAL."""
    equity = change.pop("equity", 1000)
    metrics, mode = make_metrics(), Watched(**change)
    mode.look(100, equity=equity)
    tell(metrics, mode)
    (utilization,) = values(metrics, "reservd_reserve_utilization_ratio")
    assert math.isnan(utilization)
    assert values(metrics, "reservd_target_reserve") == [0]
    assert values(metrics, "reservd_reserve_shortfall") == [0]
    assert statuses(metrics)["adequate"] == 1


@pytest.mark.parametrize("status", STATUSES[:3])
def test_status_is_one_for_the_confirmed_one_alone(status: ReserveStatus) -> None:
    metrics = make_metrics()
    tell(metrics, reach(status))
    assert statuses(metrics) == {each: float(each is status) for each in STATUSES}
    assert incidents(metrics) == {each: float(each is status) for each in STATUSES[1:3]}


@pytest.mark.parametrize("severity", STATUSES[1:3])
def test_incident_stays_open_through_unknown_until_the_recovery(severity: ReserveStatus) -> None:
    """Alert rules use it: missing data must resolve no alert."""
    metrics, mode = make_metrics(), reach(severity)
    tell(metrics, mode)
    lose(mode)
    tell(metrics, mode)
    assert statuses(metrics) == {"adequate": 0, "low": 0, "critical": 0, "unknown": 1}
    assert incidents(metrics) == {each: float(each is severity) for each in STATUSES[1:3]}
    for _ in range(3):
        mode.look(110)
        tell(metrics, mode)
    assert statuses(metrics)["adequate"] == 1
    assert incidents(metrics) == {"low": 0, "critical": 0}


def test_money_and_its_time_stay_when_nothing_can_be_read() -> None:
    """The last value stays with its timestamp, and the status is unknown."""
    metrics, mode = make_metrics(), reach(ReserveStatus.LOW)
    tell(metrics, mode)
    names = (*MONEY, "reservd_last_snapshot_timestamp_seconds")
    before = {name: values(metrics, name) for name in names}
    lose(mode)
    tell(metrics, mode)
    assert {name: values(metrics, name) for name in names} == before
    assert values(metrics, "reservd_checks_total", outcome="inconclusive") == [1]


def test_timestamp_goes_on_when_checks_find_nothing_new() -> None:
    metrics, mode = make_metrics(), reach(ReserveStatus.ADEQUATE)
    tell(metrics, mode)
    metrics.refreshed(["lending"], Instant(NOON, 60.0))
    assert values(metrics, "reservd_last_snapshot_timestamp_seconds") == [NOON.timestamp()]
    assert values(metrics, "reservd_checks_total", outcome="conclusive") == [2]


def test_standby_tells_of_no_mode_until_it_becomes_the_owner() -> None:
    """Two daemons must not report the same reserve."""
    metrics = make_metrics()
    metrics.watch(owner=False)
    tell(metrics, reach(ReserveStatus.LOW))
    for name in (*MONEY, "reservd_reserve_status", "reservd_incident_open"):
        assert values(metrics, name) == []
    assert values(metrics, "reservd_owner") == [0]
    metrics.watch(owner=True)
    tell(metrics, reach(ReserveStatus.LOW))
    assert statuses(metrics)["low"] == 1
    assert values(metrics, "reservd_owner") == [1]


def test_circuit_is_told_to_be_closed_when_the_sources_are_others_under_their_names() -> None:
    """The new source works from its first reading on, so its circuit never changes."""
    metrics = make_metrics()
    metrics.circuit_is("bank", is_open=True)
    assert values(metrics, "reservd_source_circuit_open", source="bank") == [1]
    metrics.configure(Series({"lending": "USDT"}, [30.0], ["bank"], ["ops"], ["unwinder"]))
    assert values(metrics, "reservd_source_circuit_open", source="bank") == [0]
