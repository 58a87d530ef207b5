"""The dashboard: made by its script, understood by Grafana's own library, and fed by a real Prometheus."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from support.prometheus import Prometheus

_GRAFANA = Path(__file__).parents[2] / "grafana"
_DASHBOARD = (_GRAFANA / "reservd-overview.json").read_text()
_VARIABLES = {"$__rate_interval": "10s", "$mode": ".*"}
"""What Grafana puts in place of variables: a few scrapes of the test's Prometheus, and "All"."""


def _panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def _queries() -> Iterator[tuple[str, str]]:
    for panel in _panels(json.loads(_DASHBOARD)):
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in _VARIABLES.items():
                expression = expression.replace(name, value)
            yield f"{panel['title']} {target['refId']}", expression


@pytest.mark.parametrize(("panel", "expression"), [pytest.param(*query, id=query[0]) for query in _queries()])
def test_panel_shows_data_when_a_daemon_runs(prometheus_with_daemon: Prometheus, panel: str, expression: str) -> None:
    assert prometheus_with_daemon.wait_for(expression), panel


def test_mode_variable_offers_the_modes_when_a_daemon_runs(prometheus_with_daemon: Prometheus) -> None:
    variables = {variable["name"]: variable for variable in json.loads(_DASHBOARD)["templating"]["list"]}
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["mode"]["query"]).groups()
    found = prometheus_with_daemon.wait_for(f"group by ({label}) ({metric})")
    assert {sample.labels[label] for sample in found} == {"btc_basis", "eth_staking_only", "pure_lending_usdt"}


def test_dashboard_is_what_its_script_makes(tmp_path: Path) -> None:
    """`make dashboard` was run after the last change of the script."""
    made = tmp_path / "dashboard.json"
    subprocess.run([sys.executable, _GRAFANA / "build.py", made], check=True)
    assert made.read_text() == _DASHBOARD


def test_dashboard_loses_nothing_when_read_by_grafanas_library() -> None:
    read = Dashboard.from_json(json.loads(_DASHBOARD))
    assert json.loads(JSONEncoder().encode(read)) == json.loads(_DASHBOARD)


def test_panels_are_described_and_ask_the_chosen_data_source() -> None:
    for panel in _panels(json.loads(_DASHBOARD)):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
