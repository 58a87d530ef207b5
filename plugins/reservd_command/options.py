"""Options that the sink and the sources share: the program and its environment."""

import os
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import ConfigPath, Secret, SourceConfig

_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""What a program needs to run at all. Other variables of the daemon may contain secrets."""
_OWN = "RESERVD_"


def _passable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "must not hold a NUL byte")
    return text


def _passable_secret(secret: SecretStr) -> SecretStr:
    _passable(secret.get_secret_value())
    return secret


Argument = Annotated[str, AfterValidator(_passable)]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class CommandConfig(SourceConfig):
    """Options that the sink and the sources share."""

    command: Annotated[tuple[Argument, ...], Field(min_length=1)]
    """The program, as an absolute path or a name in PATH, and its arguments. No shell is involved."""
    environment: dict[VariableName, Annotated[Secret, AfterValidator(_passable_secret)]] = Field(default_factory=dict)
    """More environment variables. They are secrets: their values are never shown."""
    directory: ConfigPath | None = None
    """The working directory; the daemon's own when left out."""

    @field_validator("command")
    @classmethod
    def _program_is_findable(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not command[0] or ("/" in command[0] and not command[0].startswith("/")):
            raise PydanticCustomError(
                "program", "must begin with an absolute path or a name in PATH, got {got}", {"got": command[0][:80]}
            )
        return command

    @field_validator("environment")
    @classmethod
    def _own_names_are_free(cls, environment: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name in environment:
            if name.startswith(_OWN):
                raise PydanticCustomError("own_name", "must not hold {name}: reservd sets RESERVD_…", {"name": name})
        return environment


def environment_of(config: CommandConfig, told: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a program.

    Args:
        config: The options, with additional variables.
        told: The variables for this call, whose names begin with `RESERVD_`.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {name: value.get_secret_value() for name, value in config.environment.items()}
    return environment | dict(told)
