"""JSON Schemas for editors: valid, and in agreement with the daemon about what is valid."""

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from reservd.config.mode import ModeConfig
from reservd.config.schema import config_schema, mode_schema
from reservd.plugin.host import PluginHost

CONFIGS = Path(__file__).parents[3] / "configs"
MAIN_FILES = sorted(CONFIGS.glob("*.yaml"))
MODE_FILES = sorted([*CONFIGS.glob("modes/*.yaml"), *CONFIGS.glob("demo/*.yaml")])
GOOD_MODE = {"mode": "a", "share_class": "USDT", "reserve_ratio": 0.05}
GOOD_MAIN = {"modes": "modes/*.yaml"}


@pytest.fixture(scope="module")
def mode() -> Any:
    return jsonschema.Draft202012Validator(mode_schema())


@pytest.fixture(scope="module")
def main() -> Any:
    return jsonschema.Draft202012Validator(config_schema(PluginHost()))


def wrong(validator: Any, value: object) -> list[str]:
    """Return the places where a value does not match the schema."""
    return ["/".join(map(str, error.absolute_path)) for error in validator.iter_errors(value)]


def test_schemas_are_schemas() -> None:
    for schema in (mode_schema(), config_schema(PluginHost())):
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("file", MODE_FILES, ids=lambda file: file.stem)
def test_mode_file_of_the_repository_fits(mode: Any, file: Path) -> None:
    assert wrong(mode, yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize("file", MAIN_FILES, ids=lambda file: file.stem)
def test_main_file_of_the_repository_fits(main: Any, file: Path) -> None:
    assert wrong(main, yaml.safe_load(file.read_text())) == []


@pytest.mark.parametrize(
    "sample", sorted((CONFIGS.parent / "plugins").glob("*/sample.yaml")), ids=lambda file: file.parent.name
)
def test_sample_of_a_plugin_fits(main: Any, sample: Path) -> None:
    assert wrong(main, {**GOOD_MAIN, **yaml.safe_load(sample.read_text())}) == []


@pytest.mark.parametrize(
    ("plugin", "options"),
    [
        ("alertmanager", {"urls": ["http://a.example", {"file": "b"}], "headers": {"Authorization": {"file": "c"}}}),
        ("apprise", {"urls": [{"file": "a"}]}),
        ("command", {"command": ["/bin/true"], "environment": {"TOKEN": {"file": "a"}}}),
        ("nats", {"servers": [{"file": "a"}], "subject": "reserves"}),
        ("webhook", {"url": "http://a.example", "secret_file": "a", "previous_secrets": [{"file": "b"}]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_may_stand_for_a_secret_of_a_list_or_a_map(main: Any, plugin: str, options: dict[str, Any]) -> None:
    assert wrong(main, {**GOOD_MAIN, "event_sinks": {"ops": {"plugin": plugin, "options": options}}}) == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"leverage": 3, "reserved": True},
        {"reserve_asset_aliases": {"USDT.e": "USDT"}},
        {"reserve_balance_sources": ["vault", "vault/main"], "reserve_confirmations": 2},
    ],
)
def test_mode_fits_when_it_would_load(mode: Any, more: dict[str, Any]) -> None:
    assert wrong(mode, {**GOOD_MODE, **more}) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"reserve_ration": 0.05}, ""),
        ({"reserve_ratio": 2}, "reserve_ratio"),
        ({"reserve_ratio": "lots"}, "reserve_ratio"),
        ({"reserve_confirmations": 1.5}, "reserve_confirmations"),
        ({"reserve_balance_sources": "vault"}, "reserve_balance_sources"),
        ({"mode": "a b"}, "mode"),
        ({"share_class": None}, "share_class"),
    ],
)
def test_mode_does_not_fit_when_it_would_not_load(mode: Any, changes: dict[str, Any], place: str) -> None:
    assert wrong(mode, {**GOOD_MODE, **changes}) == [place]


def test_mode_must_have_what_defaults_cannot_give(mode: Any) -> None:
    assert len(wrong(mode, {"reserve_ratio": 0.05})) == 2


def test_every_key_of_a_mode_is_described() -> None:
    properties = mode_schema()["properties"]
    assert set(properties) == set(ModeConfig.model_fields)
    assert [key for key, schema in properties.items() if not schema.get("description")] == []


@pytest.mark.parametrize(
    "more",
    [
        {"modes": ["a.yaml", "b/*.yaml"], "web": {"listen_address": ["127.0.0.1:0", "[::1]:9847"]}},
        {"defaults": {"reserve_ratio": 0.05, "reserve_event_sinks": ["ops"]}},
        {"store": {"url_file": "store-url", "keep_events": 86400}},
        {"event_sinks": {"ops": {"plugin": "log"}}},
        {"event_sinks": {"ops": {"plugin": "log", "modes": "btc_*", "minimum_severity": "critical"}}},
        {
            "event_sinks": {
                "ops": {
                    "plugin": "log",
                    "modes": ["btc_*", "eth_*"],
                    "events": ["reserve_low", "reserve_adequate"],
                    "concurrency": 1,
                    "retry": {"first": 0.5, "longest": 60, "give_up_after": 3600},
                }
            }
        },
        {"event_sinks": {"ops": {"plugin": "webhook", "options": {"url": "https://h/", "secret_file": "key"}}}},
        {"event_sinks": {"ops": {"plugin": "webhook", "options": {"url_file": "url", "secret": "whsec_x"}}}},
    ],
)
def test_main_fits_when_it_would_load(main: Any, more: dict[str, Any]) -> None:
    assert wrong(main, {**GOOD_MAIN, **more}) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"modes": []}, "modes"),
        ({"mods": 1}, ""),
        ({"web": {"listen_address": "nowhere"}}, "web/listen_address"),
        ({"log": {"level": "loud"}}, "log/level"),
        ({"defaults": {"reserve_ration": 0.05}}, "defaults"),
        ({"defaults": {"mode": "a"}}, "defaults"),
        ({"event_sinks": {"ops": {"plugin": "paper"}}}, "event_sinks/ops/plugin"),
        ({"event_sinks": {"ops": {"plugin": "log", "options": {"x": 1}}}}, "event_sinks/ops/options"),
        ({"event_sinks": {"ops": {"plugin": "webhook", "options": {"url": "https://h/"}}}}, "event_sinks/ops/options"),
        ({"event_sinks": {"ops": {"plugin": "webhook"}}}, "event_sinks/ops"),
        ({"event_sinks": {"the ops": {"plugin": "log"}}}, "event_sinks"),
        ({"event_sinks": {"ops": {"plugin": "log", "retries": 3}}}, "event_sinks/ops"),
        ({"event_sinks": {"ops": {"plugin": "log", "events": ["reserve_lwo"]}}}, "event_sinks/ops/events"),
        ({"event_sinks": {"ops": {"plugin": "log", "retry": {"first": 0}}}}, "event_sinks/ops/retry/first"),
        (
            {"replenishers": {"desk": {"plugin": "paper", "options": {"treasury": "t"}, "modes": "*"}}},
            "replenishers/desk",
        ),
        ({"store": {"keep": 1}}, "store"),
        (
            {
                "event_sinks": {
                    "ops": {"plugin": "webhook", "options": {"url": "https://h/", "secret": "x", "secret_file": "y"}}
                }
            },
            "event_sinks/ops/options",
        ),
    ],
)
def test_main_does_not_fit_when_it_would_not_load(main: Any, changes: dict[str, Any], place: str) -> None:
    assert wrong(main, {**GOOD_MAIN, **changes}) == [place]


def test_schema_has_a_twin_for_each_secret_and_for_nothing_else(main: Any) -> None:
    (section,) = main.schema["properties"]["event_sinks"]["patternProperties"].values()
    options = {
        rule["if"]["properties"]["plugin"]["const"]: rule["then"]["properties"]["options"] for rule in section["allOf"]
    }
    assert {name for name in options["webhook"]["properties"] if name.endswith("_file")} == {"url_file", "secret_file"}


def test_plugin_that_is_broken_is_left_out(main: Any) -> None:
    broken = [EntryPoint("nowhere", "no_such_module", "reservd"), EntryPoint("log", "reservd_log", "reservd")]
    schema = config_schema(PluginHost(broken))
    jsonschema.Draft202012Validator.check_schema(schema)
    (section,) = schema["properties"]["event_sinks"]["patternProperties"].values()
    assert section["properties"]["plugin"]["enum"] == ["log"]
