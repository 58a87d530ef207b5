"""Options of plugins: what every `Config` shares, secrets and environment variables included.

Any option typed `Secret` gets a `<name>_file` twin that names a file with the secret in it; a
relative path is looked up in `$CREDENTIALS_DIRECTORY` first, then beside the configuration file.
`${NAME}` in a `Secret` or `Url` option is replaced by the environment variable of that name.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

_MAX_SECRET_BYTES = 64 * 1024
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _expand(value: object, info: ValidationInfo) -> object:
    """Replace each `${NAME}` of a text by the environment variable."""
    if not isinstance(value, str):
        return value
    environ: Mapping[str, str] = (info.context or {}).get("environ", os.environ)

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environ:
            raise PydanticCustomError("variable_unset", "environment variable {name} must be set", {"name": name})
        return environ[name]

    return _VARIABLE.sub(replaced, value)


def _http_url(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PydanticCustomError("http_url", "must be an http:// or https:// URL with a host")
    return secret


Secret = Annotated[SecretStr, BeforeValidator(_expand)]
"""A secret: never shown in logs, errors or `repr`. Read it with `get_secret_value()`."""

Url = Annotated[SecretStr, BeforeValidator(_expand), AfterValidator(_http_url)]
"""An HTTP URL. Treated as a secret, because people put keys and passwords into URLs."""

Seconds = Annotated[float, Field(gt=0, le=3600)]
"""A duration, above 0 and at most an hour."""


def _config_path(value: Path, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("directory", Path())
    return base / value


ConfigPath = Annotated[Path, AfterValidator(_config_path)]
"""A path; a relative one starts at the folder of the configuration file."""


class PluginConfig(BaseModel):
    """Base of a plugin's options: unknown keys refused, secrets from files, frozen."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True, validate_default=True
    )

    @model_validator(mode="before")
    @classmethod
    def _read_secret_files(cls, values: Any, info: ValidationInfo) -> Any:
        """Replace each `<secret>_file` option by the content of the file it names."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        for name, field in cls.model_fields.items():
            twin = f"{name}_file"
            if twin not in values or not _has_file_twin(field.annotation):
                continue
            if name in values:
                raise PydanticCustomError(
                    "secret_twice", "{name} and {twin} must not be given both", {"name": name, "twin": twin}
                )
            values[name] = _read_secret(str(values.pop(twin)), twin, info.context or {})
        return values


class SourceConfig(PluginConfig):
    """Options of a plugin that waits for an answer."""

    timeout: Seconds = 10.0
    """Seconds a whole reading or delivery may take."""


def is_secret(annotation: Any) -> bool:
    """Whether an option of this type holds a secret anywhere, and so must not be shown."""
    return annotation is SecretStr or any(is_secret(part) for part in get_args(annotation))


def _has_file_twin(annotation: Any) -> bool:
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return any(_has_file_twin(part) for part in get_args(annotation))
    return annotation is SecretStr


def _read_secret(name: str, option: str, context: Mapping[str, Any]) -> str:
    environ: Mapping[str, str] = context.get("environ", os.environ)
    path = Path(name)
    if not path.is_absolute():
        credentials = Path(environ["CREDENTIALS_DIRECTORY"]) / path if "CREDENTIALS_DIRECTORY" in environ else None
        beside = context.get("directory", Path()) / path
        path = credentials if credentials is not None and credentials.exists() else beside
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET_BYTES + 1)
        text = content.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise PydanticCustomError(
            "secret_file",
            "{option} must name a readable file: {path}: {why}",
            {"option": option, "path": str(path), "why": why},
        ) from None
    if not text or len(content) > _MAX_SECRET_BYTES:
        raise PydanticCustomError(
            "secret_file",
            "{option} must name a file with 1 to 65536 bytes: {path}",
            {"option": option, "path": str(path)},
        )
    return text
