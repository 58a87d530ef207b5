"""`reservd.yaml`: what the daemon runs, apart from what the modes say."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from reservd.config.mode import Name, Reference
from reservd.log import LogFormat, LogLevel
from reservd.plugin.options import ConfigPath, PluginConfig, Seconds, Secret
from reservd.reserve.models import EventType

DEFAULT_LISTEN_ADDRESS = "127.0.0.1:9847"
ADDRESS_PATTERN = r"^(\[[0-9A-Fa-f:.]+\]|[^:\s/]*):[0-9]{1,5}$"
_MAX_PORT = 65535


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _check_port(address: str) -> str:
    if int(address.rpartition(":")[2]) > _MAX_PORT:
        raise PydanticCustomError("port", "must have a port of at most {most}", {"most": _MAX_PORT})
    return address


Retained = Annotated[float, Field(gt=0, le=10 * 365 * 86400, allow_inf_nan=False)]
"""A long duration in seconds, at most ten years."""

ListenAddress = Annotated[str, Field(pattern=ADDRESS_PATTERN), AfterValidator(_check_port)]
ListenAddresses = Annotated[tuple[ListenAddress, ...], Field(min_length=1, max_length=10)]
References = Annotated[tuple[Reference, ...], Field(min_length=1, max_length=10_000)]
Patterns = Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]


class Section(BaseModel):
    """A part of the file: unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class WebSettings(Section):
    """Where metrics and health are served."""

    listen_address: Annotated[
        ListenAddresses, BeforeValidator(_as_tuple, json_schema_input_type=ListenAddress | ListenAddresses)
    ] = (DEFAULT_LISTEN_ADDRESS,)
    """`host:port`, or a list of them; port 0 takes a free one."""
    tokens_file: ConfigPath | None = None
    """The file of hashed tokens and their roles, as `reservd token` prints them. Without it all writes are refused."""
    open_reads: bool = True
    """Whether reading the API needs no token."""


class LogSettings(Section):
    """What is logged, and how."""

    level: LogLevel = "info"
    """The lowest level that is logged."""
    format: LogFormat | None = None
    """`console` or `json`. Without it, `console` if standard error is a terminal, else `json`."""


class InstanceSettings(Section):
    """One instance of a plugin."""

    plugin: Reference
    """The plugin's name: see `reservd plugins`."""
    options: dict[str, Any] = {}
    """The plugin's own options: see its README."""


class RetrySettings(Section):
    """When a delivery that failed is tried again: exponential with full jitter."""

    first: Seconds = 1.0
    """The longest wait after the first failure, in seconds; doubles after each further one."""
    longest: Seconds = 300.0
    """The longest wait after any failure, in seconds."""
    give_up_after: Retained = 86400.0
    """The age of an event, in seconds, at which a failure makes it a dead letter."""


class EventSinkSettings(InstanceSettings):
    """One event sink: its plugin, what it hears of, and how hard it is tried."""

    modes: Annotated[Patterns, BeforeValidator(_as_tuple, json_schema_input_type=str | Patterns)] = ("*",)
    """Patterns of the modes whose events it receives, among those that name it."""
    events: Annotated[frozenset[EventType] | None, Field(min_length=1)] = None
    """The types of events that it receives; all unless given."""
    minimum_severity: Literal["low", "critical"] = "low"
    """`critical`: only critical events, and what follows up to their end."""
    concurrency: Annotated[int, Field(ge=1, le=256)] = 8
    """How many modes are served at the same time; events of one mode are delivered one by one."""
    retry: RetrySettings = RetrySettings()
    """When failed deliveries are retried."""


def _check_store_url(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and not text.startswith(("sqlite:///", "postgresql://")):
        raise PydanticCustomError("store_url", "must be sqlite:///FILE or postgresql://...")
    return value


class StoreSettings(PluginConfig):
    """What must survive a restart, and for how long it is kept."""

    url: Annotated[Secret, AfterValidator(_check_store_url)] = SecretStr("")
    """`sqlite:///file` or `postgresql://...`; `reservd.db` in $STATE_DIRECTORY, or beside this file, unless given."""
    keep_events: Retained = 90 * 86400.0
    """How long events are kept, in seconds, dead letters included."""
    keep_snapshots: Retained = 30 * 86400.0
    """How long the history of snapshots is kept, in seconds."""
    snapshot_interval: Seconds = 60.0
    """How often a mode's snapshot is added to the history, in seconds, if it changed."""


Instances = Annotated[dict[Name, InstanceSettings], Field(max_length=10_000)]
EventSinks = Annotated[dict[Name, EventSinkSettings], Field(max_length=10_000)]


class Settings(Section):
    """The whole of `reservd.yaml`."""

    modes: Annotated[References, BeforeValidator(_as_tuple, json_schema_input_type=Reference | References)]
    """Mode files, or patterns of them, relative to this file."""
    defaults: dict[str, Any] = {}
    """`reserve_*` keys that mode files may leave out."""
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    store: StoreSettings = StoreSettings()
    balance_sources: Instances = {}
    """Instances that read balances."""
    equity_sources: Instances = {}
    """Instances that read total equity."""
    price_sources: Instances = {}
    """Instances that read prices, for equity sources that count several assets."""
    event_sinks: EventSinks = {}
    """Instances that receive events."""
    replenishers: Instances = {}
    """Instances that request refills."""
