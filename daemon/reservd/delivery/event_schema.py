"""JSON Schema of the messages that consumers receive."""

from typing import Any

from reservd.delivery.envelope import SCHEMA_VERSION
from reservd.plugin.envelope import CloudEvent
from reservd.reserve.models import EventType, ReserveEvent

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_UNSIGNED = "^(0|[1-9][0-9]*)$"


def message_type(event_type: EventType) -> str:
    """Return the `type` of a message, `reservd.reserve_low.v1`."""
    return f"reservd.{event_type}.v{SCHEMA_VERSION}"


def event_schema(event_type: EventType | None = None) -> dict[str, Any]:
    """Return the schema of the messages of one type, or of all.

    Everything that is sent is required. More may be sent under the same version one day, so what is not
    named is allowed.
    """
    schema = CloudEvent.model_json_schema(mode="serialization")
    definitions = schema["$defs"]
    data = definitions[ReserveEvent.__name__]
    for part in (schema, data):
        part["required"] = list(part["properties"])
        for each in part["properties"].values():
            each.pop("default", None)
    envelope, fields = schema["properties"], data["properties"]
    envelope["id"]["minLength"] = 1
    envelope["source"]["pattern"] = "^/reservd/modes/."
    envelope["sequence"]["pattern"] = _UNSIGNED
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
