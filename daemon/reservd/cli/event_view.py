"""Formats events and their deliveries for the terminal."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from reservd.reserve.replenishment.event import AnyEvent
    from reservd.store.letters import UnreadableEvent
    from reservd.store.queries import Delivery

LEAST_WIDTH = 110
"""Columns that a table of events needs."""
_SHORT_ID = 8


def short_id(event: "AnyEvent | UnreadableEvent") -> str:
    """Return as much of an event's id as tells it from others: the commands take the beginning of one."""
    return event.id[:_SHORT_ID]


def show_time(moment: "datetime") -> str:
    """Return a time to the second, in UTC."""
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"


def summarize(deliveries: "Iterable[Delivery]") -> str:
    """Return what became of an event in one line: `ops delivered, pager pending (3 tries: timeout)`."""
    return ", ".join(map(_summarize, deliveries)) or "no sink"


def _summarize(delivery: "Delivery") -> str:
    text = f"{delivery.sink} {delivery.state}"
    if delivery.reason is not None:
        return f"{text} ({tries(delivery.attempts)}: {delivery.reason})"
    return f"{text} ({tries(delivery.attempts)})" if delivery.attempts > 1 else text


def tries(attempts: int) -> str:
    """Return `1 try` or `2 tries`."""
    return "1 try" if attempts == 1 else f"{attempts} tries"


def show_failure(delivery: "Delivery") -> str:
    """Return why the last attempt failed; nothing when it did not."""
    if delivery.reason is None:
        return ""
    return f"{delivery.reason}: {delivery.detail}" if delivery.detail else str(delivery.reason)


def message_text(event: "AnyEvent") -> str:
    """Return the message of an event as a consumer would receive it now, in lines for people."""
    import json

    return json.dumps(_message(event), indent=2)


def as_json(event: "AnyEvent | UnreadableEvent", deliveries: "Iterable[Delivery]") -> dict[str, Any]:
    """Return an event as a consumer would receive it now, and its deliveries, by the API's names.

    Of one that cannot be read there are its id and its subject only, and `unreadable` says so.
    """
    from reservd.store.letters import UnreadableEvent

    shown: dict[str, Any]
    if isinstance(event, UnreadableEvent):
        shown = {"event": {"id": event.id, "subject": event.strategy_mode}, "unreadable": True}
    else:
        shown = {"event": _message(event)}
    return {
        **shown,
        "deliveries": [
            {
                "sink": each.sink,
                "state": str(each.state),
                "attempts": each.attempts,
                "tried_at": each.tried_at.isoformat() if each.tried_at is not None else None,
                "reason": str(each.reason) if each.reason is not None else None,
                "detail": each.detail,
            }
            for each in deliveries
        ],
    }


def _message(event: "AnyEvent") -> dict[str, Any]:
    from reservd.delivery.envelope import wrap_any

    return wrap_any(event).model_dump(mode="json")
