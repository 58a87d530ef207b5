"""The options of the `alertmanager` sink."""

from typing import Annotated

from pydantic import AfterValidator, Field, HttpUrl, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from reservd.plugin import Seconds, Secret, SourceConfig, Url
from reservd_alertmanager.alerts import OWN_LABELS


def _free_label(name: str) -> str:
    if name in OWN_LABELS:
        raise PydanticCustomError("label", "must not be {name}: the sink sets that itself", {"name": name})
    return name


LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$"), AfterValidator(_free_label)]
"""A label name as in Prometheus, other than the sink's own."""
LongSeconds = Annotated[float, Field(gt=0, le=604_800, allow_inf_nan=False)]
"""A duration, above 0 and at most a week."""


class AlertmanagerConfig(SourceConfig):
    """Options of the `alertmanager` sink."""

    urls: Annotated[tuple[Url, ...], Field(min_length=1, max_length=10)]
    """Every Alertmanager of the cluster, such as `http://alertmanager-0:9093`, with its route prefix if any."""
    headers: dict[str, Secret] = Field(default_factory=dict)
    """More headers, such as an `Authorization` for a gateway."""
    labels: dict[LabelName, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)
    """More labels on every alert, such as `team: treasury`."""
    generator_url: HttpUrl | None = None
    """The target of an alert's "Source" link, such as the daemon's status page."""
    resend: Seconds = 60.0
    """How often all firing alerts are sent again."""
    expires: LongSeconds = 14_400.0
    """Seconds without a new sending after which Alertmanager resolves an alert, when the daemon is gone."""
    resolved_for: LongSeconds = 900.0
    """Seconds for which resolved alerts are sent again after nothing of their mode fires."""

    @field_validator("expires")
    @classmethod
    def _outlives_a_sending(cls, expires: float, info: ValidationInfo) -> float:
        resend: float = info.data.get("resend", 0.0)
        if expires < 2 * resend:
            rule = "must be at least twice resend ({resend} s): an alert must not resolve between two sendings"
            raise PydanticCustomError("expires", rule, {"resend": f"{resend:g}"})
        return expires
