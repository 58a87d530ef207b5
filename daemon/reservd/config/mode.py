"""A mode file: the keys of a strategy's own configuration that are reservd's."""

from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from reservd.reserve.amounts import parse_amount
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.replenishment import RefillPolicy

PREFIX = "reserve_"
OWN_KEYS = ("mode", "share_class", "asset")
"""The keys without the prefix that are read; every other key is the strategy engine's."""

NAME_PATTERN = r"^[A-Za-z0-9_.-]+$"


def _number(value: object) -> Decimal:
    try:
        return parse_amount(value, "")
    except (TypeError, ValueError) as error:
        # What was got is added by those who know how it may be shown.
        rule = str(error).partition(", got ")[0].strip()
        raise PydanticCustomError("number", "{rule}", {"rule": rule}) from None


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a whole number")
    return value


class Exact:
    """Makes a field an exact number from its text, within limits; editors are shown a number."""

    def __init__(self, *, ge: int | None = None, gt: int | None = None, le: int) -> None:
        self._limits: dict[str, Any] = {"ge": ge, "gt": gt, "le": le}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return how it is read."""
        return core_schema.no_info_before_validator_function(_number, core_schema.decimal_schema(**self._limits))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return how editors check it."""
        return handler(core_schema.float_schema(**self._limits))


Duration = Annotated[Decimal, Exact(gt=0, le=31 * 86400)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=100)]
Reference = Annotated[str, Field(min_length=1, max_length=300)]


class ModeConfig(BaseModel):
    """What one strategy's file says about its reserve. Durations are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True)

    mode: Name
    """The name of the strategy mode."""
    share_class: Name
    """The currency that equity and reserve are counted in."""
    asset: str | None = None
    """The strategy's main asset; not used."""
    reserve_ratio: Annotated[Decimal, Exact(ge=0, le=1)]
    """The target reserve as a part of total equity."""
    reserve_currency: Name | None = None
    """Must equal `share_class`; may be left out."""
    reserve_low_threshold: Annotated[Decimal, Exact(gt=0, le=100)] = Decimal("1.0")
    """Below this part of the target the reserve is low."""
    reserve_critical_threshold: Annotated[Decimal, Exact(gt=0, le=100)] = Decimal("0.5")
    """Below this part of the target the reserve is critical."""
    reserve_recovery_margin: Annotated[Decimal, Exact(ge=0, le=1)] = Decimal("0.02")
    """How far above a threshold, as a part of the target, recovery from it needs."""
    reserve_confirmations: Annotated[int, Field(ge=1, le=100), BeforeValidator(_refuse_bool)] = 1
    """Checks in a row at least this severe before a worsening counts."""
    reserve_max_jump: Annotated[Decimal, Exact(gt=0, le=1000)] = Decimal("0.5")
    """A reading that moves by more than this part of the last good one is read again before it counts."""
    reserve_monitoring_interval: Duration = Decimal(30)
    """How often the reserve is checked."""
    reserve_max_staleness: Duration | None = None
    """Without a conclusive check for so long the status is unknown. Default: 3 intervals, at least 120."""
    reserve_event_repeat_interval: Duration = Decimal(300)
    """How often a status that lasts is said again."""
    reserve_asset_aliases: dict[Name, Name] = {}
    """Other assets that count as reserve, one for one: `USDT.e: USDT`."""
    reserve_balance_sources: Annotated[tuple[Reference, ...], Field(max_length=1000)] = ()
    """Where the reserve lies: `name` of a balance source, or `name/account`."""
    reserve_equity_source: Reference | None = None
    """The name of an equity source."""
    reserve_event_sinks: Annotated[tuple[Reference, ...], Field(max_length=100)] = ()
    """The names of the event sinks that hear of this mode."""
    reserve_replenisher: Reference | None = None
    """The name of the replenisher that is asked for refills."""
    reserve_refill_level: Annotated[Decimal, Exact(gt=0, le=100)] = Decimal("1.1")
    """Up to which part of the target a refill is asked for."""
    reserve_refill_cooldown: Duration = Decimal(300)
    """How long to wait after a request that failed, was rejected or had no effect."""
    reserve_refill_patience: Duration = Decimal(1800)
    """How long an accepted request that names no time of its own is waited for."""

    @field_validator("reserve_currency", mode="after")
    @classmethod
    def _is_share_class(cls, value: str | None, info: ValidationInfo) -> str | None:
        share_class = info.data.get("share_class")
        if share_class is not None and value and value != share_class:
            context = {"share_class": share_class, "beside": "share_class"}
            raise PydanticCustomError("currency", "must equal share_class ({share_class})", context)
        return value

    @field_validator("reserve_critical_threshold", mode="after")
    @classmethod
    def _is_below_low(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        low = info.data.get("reserve_low_threshold")
        if low is not None and value >= low:
            context = {"low": str(low), "beside": "reserve_low_threshold"}
            raise PydanticCustomError("order", "must be below reserve_low_threshold ({low})", context)
        return value

    @field_validator("reserve_refill_level", mode="after")
    @classmethod
    def _recovers(cls, value: Decimal, info: ValidationInfo) -> Decimal:
        low, margin = info.data.get("reserve_low_threshold"), info.data.get("reserve_recovery_margin")
        if low is not None and margin is not None and value < low + margin:
            rule = "must be at least reserve_low_threshold plus reserve_recovery_margin ({least})"
            raise PydanticCustomError("order", rule, {"least": str(low + margin), "beside": "reserve_low_threshold"})
        return value

    @field_validator("reserve_max_staleness", mode="after")
    @classmethod
    def _outlasts_interval(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        interval = info.data.get("reserve_monitoring_interval")
        if value is not None and interval is not None and value < interval:
            rule = "must be at least reserve_monitoring_interval ({interval})"
            context = {"interval": str(interval), "beside": "reserve_monitoring_interval"}
            raise PydanticCustomError("order", rule, context)
        return value

    @field_validator("reserve_asset_aliases", mode="after")
    @classmethod
    def _stand_for_currency(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        share_class = info.data.get("share_class")
        for alias, currency in value.items():
            if share_class is not None and currency != share_class:
                rule = "{alias} must stand for share_class ({share_class})"
                raise PydanticCustomError("alias", rule, {"share_class": share_class, "alias": alias})
        return value

    @property
    def interval_seconds(self) -> float:
        """How often the mode is checked."""
        return float(self.reserve_monitoring_interval)

    @cached_property
    def policy(self) -> ReservePolicy:
        """What is enough, and when to say so."""
        staleness = self.reserve_max_staleness or max(3 * self.reserve_monitoring_interval, Decimal(120))
        return ReservePolicy(
            mode=self.mode,
            share_class=self.share_class,
            ratio=self.reserve_ratio,
            low_threshold=self.reserve_low_threshold,
            critical_threshold=self.reserve_critical_threshold,
            recovery_margin=self.reserve_recovery_margin,
            confirmations=self.reserve_confirmations,
            max_jump=self.reserve_max_jump,
            max_staleness=timedelta(seconds=float(staleness)),
            repeat_interval=timedelta(seconds=float(self.reserve_event_repeat_interval)),
        )

    @cached_property
    def refill(self) -> RefillPolicy:
        """How the mode is refilled."""
        return RefillPolicy(
            level=self.reserve_refill_level,
            cooldown=timedelta(seconds=float(self.reserve_refill_cooldown)),
            patience=timedelta(seconds=float(self.reserve_refill_patience)),
        )

    @property
    def reserve_assets(self) -> frozenset[str]:
        """The assets that count as reserve: the currency and its aliases."""
        return frozenset({self.share_class, *self.reserve_asset_aliases})


def own_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a strategy's configuration that is reservd's."""
    return {key: value for key, value in values.items() if key in OWN_KEYS or key.startswith(PREFIX)}
