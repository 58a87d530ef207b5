"""`reservd events redeliver`."""

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption
from reservd.cli.show_event import EventIdArgument

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from reservd.store.operators import Silence
    from reservd.store.queries import StoredEvent


class _Answer(NamedTuple):
    """What is done for whom, and for whom nothing is.

    Attributes:
        sinks: Who gets the event again.
        reasons: Why nothing is to be done for the others, one line each.
    """

    sinks: "Sequence[str]"
    reasons: "Sequence[str]"


def redeliver(
    event_id: EventIdArgument,
    sinks: Annotated[
        list[str] | None,
        typer.Option("--sink", metavar="SINK", help="To this sink, even if it was delivered there; may be repeated."),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Send an event again, under the same id.

    Without --sink: to all sinks where it is a dead letter. This only stores the request; the daemon that owns the
    store carries it out within seconds.
    """
    import asyncio

    from reservd.cli.table import printable

    found, answer = asyncio.run(_ask(config, event_id, tuple(dict.fromkeys(sinks or ()))))
    if answer.sinks:
        event = found.event
        typer.echo(
            f"event {event.id} ({event.event_type} of {event.strategy_mode}, sequence {event.sequence}) "
            f"goes to {', '.join(answer.sinks)} again"
        )
    for reason in answer.reasons:
        typer.echo(f"nothing to do: {printable(reason)}")


async def _ask(config: "Path", event_id: str, sinks: "Sequence[str]") -> tuple["StoredEvent", _Answer]:
    import uuid
    from datetime import UTC, datetime

    from reservd.cli.find_by_id import find_event
    from reservd.cli.store import login_name, open_store
    from reservd.config.load import load_settings
    from reservd.store.operators import Redelivery, ask_redeliveries, load_silences
    from reservd.store.queries import load_asked_sinks

    settings = load_settings(config)
    now = datetime.now(UTC)
    # It is read within the write: what is decided on is so until the request is written.
    async with open_store(config, settings) as database, database.write() as connection:
        found = await find_event(connection, event_id)
        _check(found, sinks, settings.event_sinks)
        mode = found.event.strategy_mode
        silences = [each for each in await load_silences(connection, now) if each.covers(mode, now)]
        asked = await load_asked_sinks(connection, found.position)
        answer = _decide(found, sinks, settings.event_sinks, asked, silences[-1] if silences else None)
        requests = [Redelivery(str(uuid.uuid4()), found.position, sink, now, login_name()) for sink in answer.sinks]
        await ask_redeliveries(connection, requests)
    return found, answer


def _check(found: "StoredEvent", sinks: "Sequence[str]", configured: "Collection[str]") -> None:
    """Refuse sinks that cannot get the event."""
    from reservd.cli.event_view import short_id
    from reservd.config.wording import nearest, show
    from reservd.errors import ConfigError, ReservdError

    heard = [each.sink for each in found.deliveries]
    for sink in sinks:
        if sink not in configured:
            raise ConfigError(f"event sink {show(sink)} is not configured{nearest(sink, configured)}")
        if sink not in heard:
            only = ", ".join(heard) or "none"
            raise ReservdError(f"event {short_id(found.event)} was not for the sink {show(sink)}; it was for: {only}")


def _decide(
    found: "StoredEvent",
    sinks: "Sequence[str]",
    configured: "Collection[str]",
    asked: "Collection[str]",
    silence: "Silence | None",
) -> _Answer:
    """Return who gets the event again.

    Args:
        found: The event.
        sinks: Who is to get it; those where it is dead when there is none.
        configured: All sinks that there are.
        asked: Who gets it again already.
        silence: The last to end of those that are on for its mode.
    """
    from reservd.cli.event_view import short_id, show_time, summarize
    from reservd.wire.events import DeliveryState

    name = f"event {short_id(found.event)}"
    wanted = sinks or [each.sink for each in found.deliveries if each.state is DeliveryState.DEAD]
    if not wanted:
        return _Answer((), [f"no sink has {name} as a dead letter: {summarize(found.deliveries)}"])
    if found.event.reminder and getattr(found.event, "superseded", False):
        return _Answer((), [f"{name} is a reminder that is out of date: it is not sent"])
    if silence is not None:
        until = show_time(silence.ends_at)
        return _Answer((), [f"a silence is on for {silence.mode} until {until}: no sink would receive {name}"])
    reasons = {sink: f"{name} goes to {sink} already" for sink in wanted if sink in asked}
    reasons |= {sink: f"event sink {sink} is not configured any more" for sink in wanted if sink not in configured}
    return _Answer([sink for sink in wanted if sink not in reasons], list(reasons.values()))
