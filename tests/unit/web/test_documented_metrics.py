"""The existing metrics are those that the daemon's README lists, with the same labels."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import reservd
from reservd.monitor.observer import Checked
from reservd.reserve.models import ReserveStatus
from reservd.web.metrics import Metrics, Series
from support.reserve import reach

_README = Path(reservd.__file__).parents[1] / "README.md"
_NAMED = re.compile(r"`(reservd_\w+)(?:\{([\w,]+)\})?`")
_OF_EVERY_MODE = {"mode", "share_class"}


def documented() -> dict[str, set[str]]:
    """Return the labels of each metric in the tables."""
    rows = [line.split("|")[1] for line in _README.read_text().splitlines() if line.startswith("| `reservd_")]
    return {name: set(filter(None, labels.split(","))) for row in rows for name, labels in _NAMED.findall(row)}


def exported() -> dict[str, set[str] | None]:
    """Return the labels of each metric; None for one without a series."""
    metrics = Metrics(Series({"lending": "USDT"}, [30.0], ["bank"], ["ops"], ["unwinder"], [("bank", "own-node")]))
    low = reach(ReserveStatus.LOW)
    assert low.step is not None
    assert low.state.good is not None
    metrics.checked(Checked("lending", low.state.good, low.step))
    metrics.callback_added("strategy")
    metrics.deliveries.silenced(frozenset({"lending"}))
    found: dict[str, set[str] | None] = {}
    for family in text_string_to_metric_families(metrics.render(metrics.take()).decode()):
        if family.name.startswith("reservd_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = {label for sample in family.samples for label in sample.labels} - {"le"}
            found[name] = labels if family.samples else None
    return found


def test_readme_lists_the_metrics_that_exist() -> None:
    assert sorted(documented()) == sorted(exported())


def test_readme_lists_the_labels_of_each_metric() -> None:
    """The labels that all metrics of a mode share are listed above their table."""
    listed = documented()
    for name, labels in exported().items():
        if labels is not None:
            assert listed[name] | (_OF_EVERY_MODE & labels) == labels, name
