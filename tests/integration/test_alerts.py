"""The alerting rules: promtool's own test cases, and a real Prometheus that watches a real daemon."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.daemon import ReservdProcess
from support.polling import wait_until
from support.prometheus import Prometheus, require_prometheus, require_promtool

_PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
_README = _PROMETHEUS.with_name("README.md")
_RULES = _PROMETHEUS / "rules" / "reservd.yaml"
_CASES = sorted((_PROMETHEUS / "tests").glob("*.yaml"))
_METRIC = re.compile(r"reservd_[a-z_]+(?=[{\[) =]|$)")

_CRITICAL = """
modes: modes.yaml
balance_sources:
  vault: {plugin: static, options: {balances: [{asset: USDT, amount: 10}]}}
equity_sources:
  nav: {plugin: static, options: {amount: 1000}}
"""
_MODE = """
mode: pure_lending
share_class: USDT
reserve_ratio: 0.05
reserve_monitoring_interval: 1
reserve_balance_sources: [vault]
reserve_equity_source: nav
"""


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(_RULES.read_text())["groups"] for rule in group["rules"]]


def _alerts() -> list[Any]:
    return [pytest.param(rule, id=rule["alert"]) for rule in _rules() if "alert" in rule]


def _promtool(*arguments: object) -> None:
    result = subprocess.run([require_promtool(), *map(str, arguments)], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_configuration_and_rules_are_valid() -> None:
    _promtool("check", "config", _PROMETHEUS / "prometheus.yaml")


@pytest.mark.parametrize("cases", _CASES, ids=lambda path: path.stem)
def test_alerts_fire_as_their_cases_say(cases: Path) -> None:
    _promtool("test", "rules", cases)


@pytest.mark.parametrize("alert", _alerts())
def test_alert_is_in_a_case_and_tells_what_to_do(alert: dict[str, Any]) -> None:
    assert any(f"alertname: {alert['alert']}\n" in cases.read_text() for cases in _CASES)
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook"}


def test_readme_lists_every_alert_with_its_severity() -> None:
    listed = re.findall(r"^\| `(Reserv\w+)` \| (\w+) \|", _README.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in _rules() if "alert" in rule)


def test_rules_name_only_metrics_that_a_daemon_exports(prometheus_with_daemon: Prometheus) -> None:
    texts = [text for rule in _rules() for text in (rule["expr"], *rule.get("annotations", {}).values())]
    named = {name for text in texts for name in _METRIC.findall(text)}
    assert {"reservd_incident_open", "reservd_silenced"} <= named
    prometheus_with_daemon.wait_for("reservd_incident_open")
    assert named <= prometheus_with_daemon.told()


@pytest.fixture
def critical_daemon(tmp_path: Path) -> Iterator[ReservdProcess]:
    """A daemon with one mode that holds a fifth of its target."""
    (tmp_path / "reservd.yaml").write_text(_CRITICAL)
    (tmp_path / "modes.yaml").write_text(_MODE)
    with ReservdProcess(tmp_path / "reservd.yaml") as daemon:
        yield daemon


def test_alert_goes_on_firing_when_the_daemon_is_gone(critical_daemon: ReservdProcess) -> None:
    require_prometheus()
    with Prometheus([critical_daemon.address], rules=[_RULES]) as prometheus:
        wait_until(lambda: prometheus.firing() == {"ReserveCritical"}, "the alert of the critical reserve")
        assert critical_daemon.stop() == 0
        prometheus.wait_for('up{job="reservd"} == 0 unless on (job) reservd_incident_open')
        assert prometheus.firing() == {"ReserveCritical"}
