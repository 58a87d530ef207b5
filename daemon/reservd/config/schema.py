"""JSON Schema of the configuration files, for editors."""

from typing import Any

from reservd.config.mode import NAME_PATTERN, PREFIX, ModeConfig
from reservd.config.settings import EventSinkSettings, InstanceSettings, Settings
from reservd.plugin.host import KINDS, PluginHost, PluginState

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SETTINGS = {"event_sinks": EventSinkSettings}
"""The kinds whose instances have more settings than plugin and options."""


def mode_schema() -> dict[str, Any]:
    """Return the schema of a mode file. Keys of the strategy engine are allowed, unknown `reserve_*` keys are not."""
    schema = ModeConfig.model_json_schema()
    schema |= {"$schema": _DIALECT, "title": "reservd mode", "additionalProperties": True}
    for key in schema["properties"].values():
        if key.get("type") == "number" and "default" in key:
            key["default"] = float(key["default"])
    schema["patternProperties"] = {f"^{PREFIX}(?!({_endings(schema)})$)": False}
    # Keys that `defaults` of reservd.yaml may set are optional in a mode file.
    schema["required"] = ["mode", "share_class"]
    return schema


def config_schema(host: PluginHost) -> dict[str, Any]:
    """Return the schema of `reservd.yaml`, with the options of every installed plugin that can be imported."""
    schema = Settings.model_json_schema()
    schema |= {"$schema": _DIALECT, "title": "reservd"}
    definitions = schema.setdefault("$defs", {})
    for settings in (InstanceSettings, *_SETTINGS.values()):
        definitions.pop(settings.__name__, None)
    plugins = [plugin for plugin in host.installed() if plugin.state is PluginState.USABLE]
    for kind in KINDS:
        options: dict[str, dict[str, Any]] = {
            plugin.name: host.plugin_class(kind, plugin.name).Config.model_json_schema()
            for plugin in plugins
            if kind in plugin.kinds
        }
        for each in options.values():
            definitions |= each.pop("$defs", {})
        section = schema["properties"][kind]
        section |= {
            "patternProperties": {
                NAME_PATTERN: bool(options) and _instance(options, _SETTINGS.get(kind, InstanceSettings))
            },
            "additionalProperties": False,
        }
    mode = mode_schema()
    definitions |= mode.get("$defs", {})
    schema["properties"]["defaults"] = {
        "type": "object",
        "description": schema["properties"]["defaults"]["description"],
        "properties": {key: value for key, value in mode["properties"].items() if key.startswith(PREFIX)},
        "additionalProperties": False,
    }
    return schema


def _instance(options: dict[str, dict[str, Any]], settings: type[InstanceSettings]) -> dict[str, Any]:
    """Return the schema of an instance, whose options are those of its plugin."""
    properties = settings.model_json_schema()["properties"]
    return {
        "type": "object",
        "properties": {**properties, "plugin": {**properties["plugin"], "enum": list(options)}},
        "required": ["plugin"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]},
                "then": {"properties": {"options": schema}, "required": ["options"] if _is_needed(schema) else []},
            }
            for name, schema in options.items()
        ],
    }


def _is_needed(options: dict[str, Any]) -> bool:
    return bool(options.get("required") or any("oneOf" in rule for rule in options.get("allOf", ())))


def _endings(schema: dict[str, Any]) -> str:
    return "|".join(key.removeprefix(PREFIX) for key in schema["properties"] if key.startswith(PREFIX))
