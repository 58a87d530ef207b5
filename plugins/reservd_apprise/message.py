"""The text for people: an event in the words of templates."""

from collections.abc import Callable, Mapping
from decimal import ROUND_FLOOR, Context, Decimal
from string import Formatter
from typing import Annotated, NamedTuple

from apprise import NotifyType
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from reservd.plugin import EventType, ReserveEvent

_UNKNOWN = "unknown"
_NONE = "none"
_EXACT = Context(prec=200)
# Rounded down: a reserve below its target never shows as 100 %.
_PERCENT = Context(prec=4, rounding=ROUND_FLOOR)

_NOTIFY_TYPES = {
    EventType.CRITICAL: NotifyType.FAILURE,
    EventType.LOW: NotifyType.WARNING,
    EventType.UNKNOWN: NotifyType.WARNING,
    EventType.RUNWAY_LOW: NotifyType.WARNING,
    EventType.ADEQUATE: NotifyType.SUCCESS,
}


class Message(NamedTuple):
    """The plain text that one service gets."""

    title: str
    body: str
    notify_type: NotifyType


def _status(event: ReserveEvent) -> str:
    return event.event_type.name.lower().replace("_", " ")


def _kind(event: ReserveEvent) -> str:
    if event.superseded:
        return "superseded"
    return "reminder" if event.reminder else "new"


def _headline(event: ReserveEvent) -> str:
    kind = _kind(event)
    return f"{event.strategy_mode}: reserve {_status(event)}" + ("" if kind == "new" else f" ({kind})")


def _amount(value: Decimal | None, event: ReserveEvent) -> str:
    return _UNKNOWN if value is None else f"{_EXACT.normalize(value):,f} {event.currency}".rstrip()


def _coverage(event: ReserveEvent) -> str:
    if event.utilization is not None:
        return f"{_PERCENT.normalize(_PERCENT.multiply(event.utilization, Decimal(100))):,f} %"
    return _UNKNOWN if event.target_reserve is None else "no target"


FIELDS: Mapping[str, Callable[[ReserveEvent], str]] = {
    "headline": _headline,
    "mode": lambda event: event.strategy_mode,
    "status": _status,
    "previous_status": lambda event: str(event.previous_status or _NONE),
    "kind": _kind,
    "coverage": _coverage,
    "balance": lambda event: _amount(event.reserve_balance, event),
    "target": lambda event: _amount(event.target_reserve, event),
    "shortfall": lambda event: _amount(event.shortfall, event),
    "equity": lambda event: _amount(event.total_equity, event),
    "currency": lambda event: event.currency or _UNKNOWN,
    "reason": lambda event: event.reason or _NONE,
    "incident": lambda event: event.incident_id or _NONE,
    "id": lambda event: event.id or _NONE,
    "sequence": lambda event: str(event.sequence),
    "time": lambda event: event.timestamp.isoformat(timespec="seconds"),
    "observed_at": lambda event: event.observed_at.isoformat(timespec="seconds") if event.observed_at else _UNKNOWN,
}
"""The value of `{name}` in a template. None is ever empty: some services refuse an empty message."""


def _check_template(template: str) -> str:
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        raise PydanticCustomError("template", "must have its braces in pairs; {{ stands for one") from None
    for _, name, spec, conversion in parts:
        if name is not None and (name not in FIELDS or spec or conversion):
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            raise PydanticCustomError("template", "must hold no braces but {known}", {"known": known})
    return template


Template = Annotated[str, AfterValidator(_check_template)]
"""Text in which each `{name}` of `FIELDS` is replaced by that value of an event."""


def write_message(event: ReserveEvent, title: str, body: str) -> Message:
    """Return the event in the words of two checked templates.

    A reminder has the urgency of the event that it repeats; a superseded event is only informational.
    """
    says = {name: says_of(event) for name, says_of in FIELDS.items()}
    notify_type = NotifyType.INFO if event.superseded else _NOTIFY_TYPES[event.event_type]
    return Message(title.format_map(says), body.format_map(says), notify_type)
