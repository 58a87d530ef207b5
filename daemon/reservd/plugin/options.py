"""The base of every plugin's `Config`, with secrets and environment variables.

Any option typed `Secret` gets a `<name>_file` twin that names a file with the secret. A relative path is
looked up in `$CREDENTIALS_DIRECTORY` first, then beside the configuration file. A `Secret` or `Url` without
a name of its own, in a list or as the value of a map, is written as `{file: NAME}` instead. Plugins need no
code for either. `${NAME}` in a `Secret` or `Url` option is replaced by the environment variable of that name.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, LiteralString, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SecretStr,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError

_MAX_SECRET_BYTES = 64 * 1024
_TWIN = "A file that holds {}; a relative path is looked up in $CREDENTIALS_DIRECTORY first."
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Unreadable:
    """Stands for an unreadable secret until its field reports it, so that all other errors are reported, too."""

    def __init__(self, kind: LiteralString, rule: LiteralString, **context: str) -> None:
        self.problem = PydanticCustomError(kind, rule, context)


def _expand(value: object, info: ValidationInfo) -> object:
    """Read a secret from its file, and replace each `${NAME}` in its text by the environment variable."""
    if isinstance(value, Mapping) and set(value) == {"file"}:
        value = _read_secret(value["file"], info.context or {})
        if isinstance(value, _Unreadable):
            raise PydanticCustomError("file_of_secret", value.problem.message_template, value.problem.context)
    if isinstance(value, _Unreadable):
        raise value.problem
    if not isinstance(value, str):
        return value
    environ: Mapping[str, str] = (info.context or {}).get("environ", os.environ)

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environ or not environ[name]:
            rule = "environment variable {name} must be set, and not empty"
            raise PydanticCustomError("variable_unset", rule, {"name": name})
        return environ[name]

    return _VARIABLE.sub(replaced, value)


def _http_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # the error's text may hold the URL
        fits = False
    if not fits or any(character.isspace() for character in url):
        raise PydanticCustomError("http_url", "must be an http:// or https:// URL with a host")
    return secret


class _TextOrFile:
    """Adds `{file: NAME}` to the schema of a secret."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        name = {"type": "string", "minLength": 1, "description": _TWIN.format("it")}
        file = {"type": "object", "properties": {"file": name}, "required": ["file"], "additionalProperties": False}
        return {"anyOf": [handler(core_schema), file]}


Secret = Annotated[SecretStr, BeforeValidator(_expand), _TextOrFile()]
"""A secret: never shown in logs, errors or `repr`. Read it with `get_secret_value()`."""

Url = Annotated[SecretStr, BeforeValidator(_expand), AfterValidator(_http_url), _TextOrFile()]
"""An HTTP URL. Treated as a secret, because people put keys and passwords into URLs."""


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False), BeforeValidator(_refuse_bool)]
"""A duration, above 0 and at most an hour."""

Duration = Annotated[float, Field(gt=0, le=31 * 86400, allow_inf_nan=False), BeforeValidator(_refuse_bool)]
"""A longer one in seconds, above 0 and at most 31 days."""


def _config_path(value: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("directory", Path())
    return base / value


ConfigPath = Annotated[Path, AfterValidator(_config_path)]
"""A path; a relative one starts at the folder of the configuration file."""


class PluginConfig(BaseModel):
    """The base of a plugin's options: frozen, without unknown keys, and with secrets from files."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: Any, info: ValidationInfo) -> Any:
        """Replace each `<secret>_file` option by the content of the file that it names."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for name, field in cls.model_fields.items():
            twin = f"{name}_file"
            if twin not in values or not has_file_twin(field):
                continue
            file = values.pop(twin)
            if name in values:
                values[name] = _Unreadable("secret_twice", "must not be given as well as {twin}", twin=twin)
            else:
                values[name] = _read_secret(file, info.context or {})
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return the schema with the `_file` twin of each secret, of which exactly one is needed."""
        schema = handler(core_schema)
        model = handler.resolve_ref_schema(schema)
        required: list[str] = model.get("required", [])
        for name, field in cls.model_fields.items():
            if not has_file_twin(field):
                continue
            twin = f"{name}_file"
            model["properties"][twin] = {"type": "string", "minLength": 1, "description": _TWIN.format(name)}
            either = {"required": [name]}, {"required": [twin]}
            rule = {"oneOf": list(either)} if name in required else {"not": {"allOf": list(either)}}
            model.setdefault("allOf", []).append(rule)
        model["required"] = [name for name in required if f"{name}_file" not in model["properties"]]
        return schema


class SourceConfig(PluginConfig):
    """Options of a plugin that waits for a response."""

    timeout: Seconds = 10.0
    """How long a whole reading or delivery may take, in seconds."""


def is_secret(annotation: Any) -> bool:
    """Return whether an option of this type holds a secret anywhere, and so must not be shown."""
    return annotation is SecretStr or any(is_secret(part) for part in get_args(annotation))


def has_file_twin(field: FieldInfo) -> bool:
    """Return whether the option is a `Secret` or a `Url`, and so may be given as `<name>_file` instead."""
    if get_origin(field.annotation) in {Union, UnionType}:
        return any(_is_expanded(getattr(part, "__metadata__", ())) for part in get_args(field.annotation))
    return field.annotation is SecretStr and _is_expanded(field.metadata)


def _is_expanded(metadata: Iterable[object]) -> bool:
    return any(isinstance(each, BeforeValidator) and each.func is _expand for each in metadata)


def _read_secret(name: object, context: Mapping[str, Any]) -> str | _Unreadable:
    if not isinstance(name, str) or not name:
        return _Unreadable("secret_file", "must name a file")
    environ: Mapping[str, str] = context.get("environ", os.environ)
    places = [Path(folder) for folder in (environ.get("CREDENTIALS_DIRECTORY"),) if folder]
    places.append(context.get("directory", Path()))
    path = next((place / name for place in places if os.path.lexists(place / name)), places[-1] / name)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
        text = content.decode().strip()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else "it is not UTF-8 text"
        return _Unreadable("secret_file", "must name a readable file, got {path}: {why}", path=str(path), why=why)
    if not text or len(content) > _MAX_SECRET_BYTES:
        rule = "must name a file with 1 to 65,536 bytes of text, got {path}"
        return _Unreadable("secret_file", rule, path=str(path))
    return text
