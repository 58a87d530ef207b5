"""`reservd schema`."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reservd.reserve.models import EventType


class SchemaKind(StrEnum):
    """What there is a schema of."""

    CONFIG = "config"
    MODE = "mode"
    EVENT = "event"


def schema(
    kind: Annotated[
        SchemaKind,
        typer.Argument(metavar="KIND", help="Of reservd.yaml, of a mode file, or of the messages that sinks send."),
    ] = SchemaKind.CONFIG,
    event_type: Annotated[
        str | None,
        typer.Argument(metavar="TYPE", help="Of messages of this type only, such as reservd.reserve_low.v1."),
    ] = None,
) -> None:
    """Print the JSON Schema of a file or a message.

    That of reservd.yaml is for editors, and knows the options of every installed plugin. That of an event is
    for those who write a consumer.
    """
    import json

    typer.echo(json.dumps(_schema(kind, event_type), indent=2))


def _schema(kind: SchemaKind, event_type: str | None) -> dict[str, Any]:
    if kind is SchemaKind.EVENT:
        from reservd.delivery.event_schema import (
            REPLENISHMENT_TYPE,
            event_schema,
            message_schema,
            replenishment_schema,
        )

        if event_type is None:
            return message_schema()
        return replenishment_schema() if event_type == REPLENISHMENT_TYPE else event_schema(_known(event_type))
    if event_type is not None:
        raise typer.BadParameter("goes with 'event' only", param_hint="TYPE")
    from reservd.config.schema import config_schema, mode_schema
    from reservd.plugin.host import PluginHost

    return mode_schema() if kind is SchemaKind.MODE else config_schema(PluginHost())


def _known(text: str) -> "EventType":
    from reservd.delivery.event_schema import REPLENISHMENT_TYPE, message_type
    from reservd.reserve.models import EventType

    types = {message_type(each): each for each in EventType}
    if text not in types:
        raise typer.BadParameter(f"must be one of {', '.join([*types, REPLENISHMENT_TYPE])}", param_hint="TYPE")
    return types[text]
