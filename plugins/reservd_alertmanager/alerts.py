"""The alerts of one mode, and their form in Alertmanager's API."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from reservd.plugin import ReserveEvent, ReserveStatus

OWN_LABELS = frozenset({"alertname", "mode", "share_class", "severity"})
"""The labels by which Alertmanager identifies an alert."""
_MAX_TEXT = 1000


class AlertName(StrEnum):
    """The alerts that a mode may have. LOW and CRITICAL never fire at the same time."""

    LOW = "ReserveLow"
    CRITICAL = "ReserveCritical"
    UNKNOWN = "ReserveUnknown"


BY_STATUS: Mapping[ReserveStatus | None, AlertName] = {
    ReserveStatus.LOW: AlertName.LOW,
    ReserveStatus.CRITICAL: AlertName.CRITICAL,
    ReserveStatus.UNKNOWN: AlertName.UNKNOWN,
}
OF_INCIDENTS = frozenset({AlertName.LOW, AlertName.CRITICAL})
"""The alerts for the severity of an open incident."""

_SEVERITY = {AlertName.LOW: "warning", AlertName.CRITICAL: "critical", AlertName.UNKNOWN: "warning"}


class Alert(NamedTuple):
    """One alert of one mode.

    Attributes:
        labels: The sink's own, `OWN_LABELS`.
        annotations: The text for people.
        starts_at: The time of the event with which it began to fire.
        ended_at: When it was resolved, never before `starts_at`; None while it fires.
    """

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ended_at: datetime | None = None

    @property
    def fires(self) -> bool:
        """Whether it is unresolved."""
        return self.ended_at is None

    def ended(self, event: ReserveEvent, at: datetime) -> "Alert":
        """Return it as resolved by an event, with that event's numbers and reason."""
        told = {**annotations_of(event), "summary": self.annotations["summary"]}
        return self._replace(annotations=told, ended_at=max(at, self.starts_at))


def alert_of(name: AlertName, event: ReserveEvent, starts_at: datetime) -> Alert:
    """Return the alert that fires because of an event."""
    word = name.removeprefix("Reserve").lower()
    labels = {
        "alertname": str(name),
        "mode": event.strategy_mode,
        "share_class": event.currency,
        "severity": _SEVERITY[name],
    }
    return Alert(
        labels,
        {**annotations_of(event), "summary": f"Reserve of {event.strategy_mode} is {word}"},
        starts_at,
    )


def annotations_of(event: ReserveEvent) -> dict[str, str]:
    """Return the annotations for an event. An unknown number is left out, never zero."""
    told: dict[str, str | Decimal | None] = {
        "description": event.reason[:_MAX_TEXT],
        "incident_id": event.incident_id,
        "reserve_balance": event.reserve_balance,
        "target_reserve": event.target_reserve,
        "utilization": event.utilization,
        "shortfall": event.shortfall,
        "total_equity": event.total_equity,
    }
    return {
        name: format(value, "f") if isinstance(value, Decimal) else value
        for name, value in told.items()
        if value is not None
    }


def to_api(
    alert: Alert, *, expires_at: datetime, labels: Mapping[str, str], generator_url: str | None
) -> dict[str, Any]:
    """Return an alert in the form of `POST /api/v2/alerts`.

    Args:
        alert: The alert.
        expires_at: When Alertmanager resolves a firing alert if it is not sent again.
        labels: More labels.
        generator_url: The target of its link.
    """
    body: dict[str, Any] = {
        "labels": {**labels, **alert.labels},
        "annotations": alert.annotations,
        "startsAt": _text(alert.starts_at),
        "endsAt": _text(alert.ended_at or expires_at),
    }
    if generator_url is not None:
        body["generatorURL"] = generator_url
    return body


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
