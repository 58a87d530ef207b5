"""The READMEs list the options of event sinks and of the store with their actual defaults."""

import re
from collections.abc import Collection
from pathlib import Path

import pytest
from pydantic import BaseModel

import reservd
from reservd.config.settings import EventSinkSettings, InstanceSettings, RetrySettings, StoreSettings

ROOT = Path(reservd.__file__).parent


def documented(readme: str) -> dict[str, str]:
    """Return the default of each documented option."""
    text = (ROOT / readme / "README.md").read_text()
    table = text.partition("| option | type | default | what it is |\n")[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| `([a-z_.]+)` \| .*? \| (.*?) \|", table, re.MULTILINE))


def defaults(model: type[BaseModel], *, prefix: str = "", without: Collection[str] = ()) -> dict[str, object]:
    return {prefix + name: field.default for name, field in model.model_fields.items() if name not in without}


def test_options_of_an_event_sink_are_documented() -> None:
    options = defaults(EventSinkSettings, without={*InstanceSettings.model_fields, "retry"})
    options |= defaults(RetrySettings, prefix="retry.")
    shown = documented("delivery")
    assert list(shown) == list(options)
    plain = {name: default for name, default in options.items() if isinstance(default, int | float)}
    assert {name: float(shown[name].strip("`")) for name in plain} == plain
    assert (shown["modes"], shown["events"], shown["minimum_severity"]) == ('`["*"]`', "all", "`low`")


@pytest.mark.parametrize("option", ["keep_events", "keep_snapshots", "snapshot_interval"])
def test_defaults_of_the_store_are_documented(option: str) -> None:
    shown = documented("store")
    assert list(shown) == list(StoreSettings.model_fields)
    assert float(shown[option].split()[0].strip("`")) == StoreSettings.model_fields[option].default
