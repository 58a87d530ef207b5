"""A mode file: those keys of a strategy's own configuration that belong to reservd."""

from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, create_model, field_validator
from pydantic_core import PydanticCustomError

from reservd.config.numbers import Duration, Exact, Whole
from reservd.reserve.allocation import AllocationTerms
from reservd.reserve.models import AllocationMethod
from reservd.reserve.policy import ReservePolicy
from reservd.reserve.replenishment import RefillPolicy
from reservd.reserve.withdrawal import WithdrawalPolicy

PREFIX = "reserve_"
OWN_KEYS = ("mode", "share_class", "asset")
"""The keys without the prefix that are read; every other key belongs to the strategy engine."""

_METHODS = {
    "reserve_allocation_priority": AllocationMethod.PRIORITY,
    "reserve_allocation_amount": AllocationMethod.DEDICATED,
    "reserve_allocation_ratio": AllocationMethod.DEDICATED,
}
"""The keys that are valid for only one way to split shared accounts."""

NAME_PATTERN = r"^\.*[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
"""Names appear in URLs, where `.` and `..` have a special meaning."""

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
    """How far the reserve must rise above a threshold to recover from it, as a part of the target."""
    reserve_confirmations: Annotated[int, Whole(ge=1, le=100)] = 1
    """Checks in a row at least this severe before a worsening counts."""
    reserve_max_jump: Annotated[Decimal, Exact(gt=0, le=1000)] = Decimal("0.5")
    """A reading that moves by more than this part of the last good one is observed again before it counts."""
    reserve_monitoring_interval: Duration = Decimal(30)
    """How often the reserve is checked."""
    reserve_max_staleness: Duration | None = None
    """Older observations are not believed, and without newer ones the status is unknown. Default: 3 intervals, at
    least 120."""
    reserve_max_skew: Duration | None = None
    """How far apart equity and balances may have been observed for a check to count. Default: the maximum staleness."""
    reserve_runway_window: Duration = Decimal(3600)
    """The period over which the rate is measured at which money leaves the reserve."""
    reserve_runway_warning: Duration | None = None
    """How long before the reserve would be low at that rate an early warning is given. Default: no warning."""
    reserve_event_repeat_interval: Duration = Decimal(300)
    """How often a reminder is sent while a status lasts."""
    reserve_asset_aliases: dict[Name, Name] = {}
    """Other assets that count as reserve, one for one: `USDT.e: USDT`. One that is not read is missing, not zero."""
    reserve_balance_sources: Annotated[tuple[Reference, ...], Field(max_length=1000)] = ()
    """Where the reserve lies: `name` of a balance source, or `name/account`."""
    reserve_allocation: AllocationMethod = AllocationMethod.PRO_RATA
    """How accounts that other modes count too are split: `pro_rata`, `priority` or `dedicated`, the same for all."""
    reserve_allocation_priority: Annotated[int, Whole(ge=1, le=1_000_000)] | None = None
    """With `priority`: modes with a lower number are served first, those with the same one pro rata."""
    reserve_allocation_amount: Annotated[Decimal, Exact(ge=0, le=10**30)] | None = None
    """With `dedicated`: what the mode gets of all accounts that it shares together."""
    reserve_allocation_ratio: Annotated[Decimal, Exact(ge=0, le=1)] | None = None
    """With `dedicated`, in place of an amount: the part of each shared account that the mode gets."""
    reserve_require_agreement: Annotated[bool, Field(strict=True)] = False
    """Whether an account that is named twice, by two sources for instance, is unknown unless all agree."""
    reserve_equity_source: Reference | None = None
    """The name of an equity source."""
    reserve_event_sinks: Annotated[tuple[Reference, ...], Field(max_length=100)] = ()
    """The names of the event sinks that receive this mode's events."""
    reserve_replenisher: Reference | None = None
    """The name of the replenisher that requests for refills go to."""
    reserve_refill_level: Annotated[Decimal, Exact(gt=0, le=100)] = Decimal("1.1")
    """The part of the target that a refill should restore the reserve to."""
    reserve_refill_min: Annotated[Decimal, Exact(ge=0, le=10**30)] | None = None
    """Smaller refills are not requested."""
    reserve_refill_max: Annotated[Decimal, Exact(gt=0, le=10**30)] | None = None
    """The most that one request may be for; no limit unless given."""
    reserve_refill_decimals: Annotated[int, Whole(ge=0, le=60)] | None = None
    """The decimals that amounts are rounded to, usually those of the token; not rounded unless given."""
    reserve_refill_in_flight: Annotated[int, Whole(ge=1, le=100)] = 1
    """How many requests may be open at a time; those for withdrawals are not counted."""
    reserve_refill_cooldown: Duration = Decimal(300)
    """How long to wait after a request that failed, was rejected or had no effect."""
    reserve_refill_longest_cooldown: Duration = Decimal(3600)
    """The cooldown doubles with each such request in a row, up to this."""
    reserve_refill_patience: Duration = Decimal(1800)
    """How long to wait for a refill when the strategy's answer names no time."""
    reserve_refill_settling: Duration = Decimal(300)
    """How long money may take to show in the reserve after it was reported settled, or was expected."""
    reserve_refill_tolerance: Annotated[Decimal, Exact(ge=0, le=1)] = Decimal("0.01")
    """The part of an amount that may be missing when a refill counts as arrived."""
    reserve_refill_budget_period: Duration = Decimal(86400)
    """The period that the two budgets cover."""
    reserve_refill_budget_amount: Annotated[Decimal, Exact(gt=0, le=10**30)] | None = None
    """The most that is requested within that period; no limit unless given. Withdrawals' own requests do not count."""
    reserve_refill_budget_count: Annotated[int, Whole(ge=1, le=100_000)] | None = None
    """The most requests within that period; no limit unless given."""
    reserve_refill_max_loss: Annotated[Decimal, Exact(ge=0, le=1)] | None = None
    """The largest part of an amount that unwinding may lose; passed on with each request."""
    reserve_refill_approval_above: Annotated[Decimal, Exact(ge=0, le=10**30)] | None = None
    """Emergency requests for more than this wait for `reservd replenishments approve`; none waits unless given."""
    reserve_refill_dry_run: Annotated[bool, Field(strict=True)] = False
    """Only log what would be requested; request nothing."""
    reserve_withdrawal_floor: Annotated[Decimal, Exact(ge=0, le=100)] | None = None
    """The part of the target that withdrawals leave in the reserve. Default: `reserve_critical_threshold`."""
    reserve_withdrawal_max: Annotated[Decimal, Exact(gt=0, le=10**30)] | None = None
    """The most that one withdrawal may be; no limit unless given. One of more than the equity, accepted by mistake,
    leaves nothing that needs a reserve, and so no alarm."""
    reserve_withdrawal_max_per_period: Annotated[Decimal, Exact(gt=0, le=10**30)] | None = None
    """The most that is accepted within a period; no limit unless given."""
    reserve_withdrawal_period: Duration = Decimal(86400)
    """How long an accepted withdrawal counts toward `reserve_withdrawal_max_per_period`."""
    reserve_withdrawal_patience: Duration = Decimal(3600)
    """How long an accepted withdrawal may stay unpaid before it is overdue; unwinding comes on top."""

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

    @field_validator("reserve_refill_max", mode="after")
    @classmethod
    def _is_above_minimum(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        least = info.data.get("reserve_refill_min")
        if value is not None and least is not None and value < least:
            context = {"least": str(least), "beside": "reserve_refill_min"}
            raise PydanticCustomError("order", "must be at least reserve_refill_min ({least})", context)
        return value

    @field_validator(*_METHODS, mode="after")
    @classmethod
    def _goes_with_method(cls, value: object, info: ValidationInfo) -> object:
        method, needed = info.data.get("reserve_allocation"), _METHODS[str(info.field_name)]
        if value is None or method is None:
            return value
        if method is not needed:
            context = {"method": str(needed), "beside": "reserve_allocation"}
            raise PydanticCustomError("method", "must not be given unless reserve_allocation is {method}", context)
        if info.data.get("reserve_allocation_amount") is not None:
            raise PydanticCustomError("method", "must not be given beside reserve_allocation_amount")
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
        """The monitoring interval, in seconds."""
        return float(self.reserve_monitoring_interval)

    @cached_property
    def policy(self) -> ReservePolicy:
        """The mode's policy: thresholds, and when a status is confirmed and announced."""
        staleness = self.reserve_max_staleness or max(3 * self.reserve_monitoring_interval, Decimal(120))
        skew = self.reserve_max_skew or staleness
        warning = self.reserve_runway_warning
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
            max_skew=timedelta(seconds=float(skew)),
            runway_window=timedelta(seconds=float(self.reserve_runway_window)),
            runway_warning=timedelta(seconds=float(warning)) if warning is not None else None,
        )

    @cached_property
    def allocation(self) -> AllocationTerms:
        """How accounts that other modes also count are split."""
        return AllocationTerms(
            method=self.reserve_allocation,
            priority=self.reserve_allocation_priority,
            amount=self.reserve_allocation_amount,
            ratio=self.reserve_allocation_ratio,
        )

    @cached_property
    def refill(self) -> RefillPolicy:
        """When and how the mode is refilled."""
        return RefillPolicy(
            level=self.reserve_refill_level,
            minimum=self.reserve_refill_min,
            maximum=self.reserve_refill_max,
            decimals=self.reserve_refill_decimals,
            in_flight=self.reserve_refill_in_flight,
            cooldown=timedelta(seconds=float(self.reserve_refill_cooldown)),
            longest_cooldown=timedelta(seconds=float(self.reserve_refill_longest_cooldown)),
            patience=timedelta(seconds=float(self.reserve_refill_patience)),
            settling=timedelta(seconds=float(self.reserve_refill_settling)),
            tolerance=self.reserve_refill_tolerance,
            budget_period=timedelta(seconds=float(self.reserve_refill_budget_period)),
            budget_amount=self.reserve_refill_budget_amount,
            budget_count=self.reserve_refill_budget_count,
            max_loss=self.reserve_refill_max_loss,
            approval_above=self.reserve_refill_approval_above,
            dry_run=self.reserve_refill_dry_run,
        )

    @cached_property
    def withdrawal(self) -> WithdrawalPolicy:
        """How withdrawals are decided."""
        floor = self.reserve_withdrawal_floor
        asks = self.reserve_replenisher is not None and not self.reserve_refill_dry_run
        return WithdrawalPolicy(
            floor=self.reserve_critical_threshold if floor is None else floor,
            maximum=self.reserve_withdrawal_max,
            maximum_per_period=self.reserve_withdrawal_max_per_period,
            period=timedelta(seconds=float(self.reserve_withdrawal_period)),
            patience=timedelta(seconds=float(self.reserve_withdrawal_patience)),
            unwinding=self.refill.patience if asks else None,
        )

    @property
    def reserve_assets(self) -> frozenset[str]:
        """The assets that count as reserve: the currency and its aliases."""
        return frozenset({self.share_class, *self.reserve_asset_aliases})


ModeDefaults = create_model(  # type: ignore[call-overload]  # the names are not known beforehand
    "ModeDefaults",
    **{
        name: (Annotated[field.annotation, field], None)
        for name, field in ModeConfig.model_fields.items()
        if name.startswith(PREFIX)
    },
)
"""What `defaults` of `reservd.yaml` may give: each value by itself, as what it goes together with is a mode's own."""


def own_keys(values: dict[str, Any]) -> dict[str, Any]:
    """Return those keys of a strategy's configuration that belong to reservd."""
    return {key: value for key, value in values.items() if key in OWN_KEYS or key.startswith(PREFIX)}
