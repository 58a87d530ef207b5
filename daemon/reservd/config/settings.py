"""`reservd.yaml`: what the daemon runs, apart from what the modes say."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from reservd.config.mode import Name, Reference
from reservd.log import LogFormat, LogLevel

DEFAULT_LISTEN_ADDRESS = "127.0.0.1:9847"
ADDRESS_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|[^:\s/]*):[0-9]{1,5}$"
_MAX_PORT = 65535


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > _MAX_PORT:
        raise PydanticCustomError("port", "must have a port of at most {most}", {"most": _MAX_PORT})
    return address


ListenAddress = Annotated[str, Field(pattern=ADDRESS_PATTERN), AfterValidator(_check_port)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], Field(min_length=1, max_length=10)]
References = Annotated[tuple[Reference, ...], Field(min_length=1, max_length=10_000)]


class Section(BaseModel):
    """A part of the file: unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class WebSettings(Section):
    """Where metrics and health are served."""

    listen_address: Annotated[
        ListenAddresses, BeforeValidator(_as_tuple, json_schema_input_type=ListenAddress | ListenAddresses)
    ] = (DEFAULT_LISTEN_ADDRESS,)
    """`host:port`, or a list of them; port 0 takes a free one."""


class LogSettings(Section):
    """What is logged, and how."""

    level: LogLevel = "info"
    """The least level that is shown."""
    format: LogFormat | None = None
    """`console` or `json`; chosen by whether standard error is a terminal when left out."""


class InstanceSettings(Section):
    """One instance of a plugin."""

    plugin: Reference
    """The plugin's name: see `reservd plugins`."""
    options: dict[str, Any] = {}
    """The plugin's own options: see its README."""


Instances = Annotated[dict[Name, InstanceSettings], Field(max_length=10_000)]


class Settings(Section):
    """The whole of `reservd.yaml`."""

    modes: Annotated[References, BeforeValidator(_as_tuple, json_schema_input_type=Reference | References)]
    """Mode files, or patterns of them, relative to this file."""
    defaults: dict[str, Any] = {}
    """`reserve_*` keys that mode files may leave out."""
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    balance_sources: Instances = {}
    """What reads balances."""
    equity_sources: Instances = {}
    """What reads total equity."""
    event_sinks: Instances = {}
    """What hears of events."""
    replenishers: Instances = {}
    """What is asked for refills."""
