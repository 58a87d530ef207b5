"""JSON Schema of the configuration files, for editors."""

from typing import Any

from reservd.config.mode import ModeConfig
from reservd.config.settings import Settings
from reservd.errors import PluginError
from reservd.plugin.host import KINDS, PluginHost

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TWIN = "A file that holds it; a relative path is looked up in $CREDENTIALS_DIRECTORY first."


def mode_schema() -> dict[str, Any]:
    """Return the schema of a mode file. Keys of the strategy engine are allowed, unknown `reserve_*` keys are not."""
    schema = ModeConfig.model_json_schema()
    schema |= {"$schema": _DIALECT, "title": "reservd mode", "additionalProperties": True}
    schema["patternProperties"] = {f"^reserve_(?!({_endings(schema)})$)": False}
    # What `defaults` of reservd.yaml may give, a mode file may leave out.
    schema["required"] = ["mode", "share_class"]
    return schema


def config_schema(host: PluginHost) -> dict[str, Any]:
    """Return the schema of `reservd.yaml`, with the options of every installed plugin that can be imported."""
    schema = Settings.model_json_schema()
    schema |= {"$schema": _DIALECT, "title": "reservd"}
    definitions = schema.setdefault("$defs", {})
    for kind in KINDS:
        choices = []
        for plugin in host.installed():
            try:
                options = host.plugin_class(kind, plugin.name).Config.model_json_schema()
            except PluginError:
                continue
            definitions |= options.pop("$defs", {})
            choices.append(
                {
                    "type": "object",
                    "properties": {"plugin": {"const": plugin.name}, "options": _with_files(options)},
                    "required": ["plugin"],
                    "additionalProperties": False,
                }
            )
        schema["properties"][kind]["additionalProperties"] = {"oneOf": choices}
    defaults = mode_schema()["properties"]
    definitions |= ModeConfig.model_json_schema().get("$defs", {})
    schema["properties"]["defaults"] = {
        "type": "object",
        "properties": {key: value for key, value in defaults.items() if key.startswith("reserve_")},
        "additionalProperties": False,
    }
    return schema


def _endings(schema: dict[str, Any]) -> str:
    return "|".join(key.removeprefix("reserve_") for key in schema["properties"] if key.startswith("reserve_"))


def _with_files(options: dict[str, Any]) -> dict[str, Any]:
    """Add the `_file` twin of each secret option, and let either of the two be given."""
    properties = options.get("properties", {})
    required = list(options.get("required", []))
    for name, prop in list(properties.items()):
        if '"password"' not in str(prop).replace("'", '"') or prop.get("type") == "object":
            continue
        properties[f"{name}_file"] = {"type": "string", "description": _TWIN}
        if name in required:
            required.remove(name)
            options.setdefault("allOf", []).append({"oneOf": [{"required": [name]}, {"required": [f"{name}_file"]}]})
    if "required" in options:
        options["required"] = required
    return options
