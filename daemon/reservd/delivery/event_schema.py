"""JSON Schema of the messages that consumers receive."""

from typing import Any

from pydantic import BaseModel

from reservd.delivery.envelope import SCHEMA_VERSION
from reservd.reserve.models import EventType, ReserveEvent
from reservd.reserve.replenishment.event import REPLENISHMENT_CHANGED, ReplenishmentEvent
from reservd.wire.envelope import CloudEvent, Envelope, ReplenishmentMessage

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAY_LACK = ("epoch",)
_UNSIGNED = "^(0|[1-9][0-9]*)$"

REPLENISHMENT_TYPE = f"reservd.{REPLENISHMENT_CHANGED}.v{SCHEMA_VERSION}"
"""The `type` of the messages about requests for refills."""


def message_type(event_type: EventType) -> str:
    """Return the `type` of a message, such as `reservd.reserve_low.v1`."""
    return f"reservd.{event_type}.v{SCHEMA_VERSION}"


def message_schema() -> dict[str, Any]:
    """Return the schema of all messages: reserve events and changes of requests for refills."""
    kinds = [event_schema(), replenishment_schema()]
    definitions = {name: each for kind in kinds for name, each in kind.pop("$defs").items()}
    for kind in kinds:
        del kind["$schema"]
    return {"$schema": _DIALECT, "title": "reservd message", "anyOf": kinds, "$defs": definitions}


def event_schema(event_type: EventType | None = None) -> dict[str, Any]:
    """Return the schema of the messages of one type of reserve event, or of all types.

    Every field that is always sent is required. Unknown fields are allowed, because more may be added under the same
    version.
    """
    schema = _message_schema(CloudEvent, ReserveEvent, "^/reservd/modes/.")
    definitions, envelope = schema["$defs"], schema["properties"]
    fields = definitions[ReserveEvent.__name__]["properties"]
    title = "reservd event"
    if event_type is None:
        envelope["type"]["enum"] = [message_type(each) for each in EventType]
    else:
        title = message_type(event_type)
        envelope["type"]["const"] = title
        for name, value in (("event_type", str(event_type)), ("status", str(event_type.status))):
            fields[name] = {"const": value, "description": fields[name]["description"]}
        del definitions[EventType.__name__]
    return {"$schema": _DIALECT, **schema, "title": title}


def replenishment_schema() -> dict[str, Any]:
    """Return the schema of the messages about requests for refills."""
    source = "^/reservd/modes/.+/replenishments$"
    schema = _message_schema(ReplenishmentMessage, ReplenishmentEvent, source)
    schema["properties"]["type"]["const"] = REPLENISHMENT_TYPE
    return {"$schema": _DIALECT, **schema, "title": REPLENISHMENT_TYPE}


def _message_schema(message: type[Envelope], data: type[BaseModel], source: str) -> dict[str, Any]:
    schema = message.model_json_schema(mode="serialization")
    for part in (schema, schema["$defs"][data.__name__]):
        part["required"] = [name for name in part["properties"] if name not in _MAY_LACK]
        for each in part["properties"].values():
            each.pop("default", None)
    envelope = schema["properties"]
    for name in _MAY_LACK:
        envelope[name] |= envelope[name].pop("anyOf")[0]  # it is present or absent, and never null
    envelope["id"]["minLength"] = 1
    envelope["source"]["pattern"] = source
    envelope["sequence"]["pattern"] = _UNSIGNED
    return schema
