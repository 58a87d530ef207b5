"""`reservd silence`."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reservd.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption, plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from reservd.store.operators import Silence

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(rf"([0-9]{{1,9}})([{''.join(_UNITS)}])")
_LONGEST = timedelta(days=31)
_MAX_REASON = 500


def silence(
    mode: Annotated[str | None, typer.Argument(metavar="MODE", help="The mode to silence.")] = None,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long: 90s, 15m, 2h or 1d; at most 31d.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with your name.")] = None,
    end: Annotated[bool, typer.Option("--end", help="End the silences of the mode now.")] = False,
    as_list: Annotated[bool, typer.Option("--list", help="List the active silences.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Keep a mode's events from all sinks for a while.

    The mode is still checked, measured and refilled. Events decided meanwhile are stored and never sent; a status
    that lasts is announced by the first reminder after the silence.
    """
    import asyncio

    making = duration is not None or reason is not None
    if making + end + as_list != 1:
        _misused("one of --for, --end and --list is needed")
    if as_json and not as_list:
        _misused("--json goes with --list")
    if as_list:
        _print(asyncio.run(_load(config, mode)), as_json=as_json)
        return
    if mode is None:
        _misused("a MODE is needed")
    if end:
        ended = asyncio.run(_end(config, mode))
        typer.echo(f"ended {plural(ended, 'silence')} of {mode}" if ended else f"nothing to do: {mode} is not silenced")
        return
    if duration is None or reason is None or not reason.strip():
        _misused("--for and --reason go together")
    until = asyncio.run(_make(config, mode, parse_duration(duration), reason.strip()))
    from reservd.cli.event_view import show_time

    typer.echo(f"silenced {mode} until {show_time(until)}; it is watched and refilled as usual")


def parse_duration(text: str) -> timedelta:
    """Return how long `90s`, `15m`, `2h` or `1d` is.

    Raises:
        typer.BadParameter: If it is none of these, nothing, or too long.
    """
    match = _DURATION.fullmatch(text)
    duration = timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match is not None else timedelta(0)
    if not timedelta(0) < duration <= _LONGEST:
        rule = f"must be a duration such as 90s, 15m, 2h or 1d, at most {_LONGEST.days}d"
        raise typer.BadParameter(f"{rule}, got {text!r}", param_hint="--for")
    return duration


def _misused(rule: str) -> NoReturn:
    raise typer.BadParameter(rule, param_hint="silence")


async def _make(config: "Path", mode: str, duration: timedelta, reason: str) -> "datetime":
    import uuid
    from datetime import UTC, datetime

    from reservd.cli.modes import require_mode
    from reservd.cli.store import login_name, open_store, storable
    from reservd.config.load import load_settings
    from reservd.store.operators import Silence, add_silence

    settings = load_settings(config)
    require_mode(config, mode)
    now = datetime.now(UTC)
    added = Silence(str(uuid.uuid4()), mode, now, now + duration, storable(reason)[:_MAX_REASON], login_name())
    async with open_store(config, settings) as database, database.write() as connection:
        await add_silence(connection, added)
    return added.ends_at


async def _end(config: "Path", mode: str) -> int:
    from datetime import UTC, datetime

    from reservd.cli.modes import require_mode
    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.operators import end_silences

    async with open_store(config, load_settings(config)) as database, database.write() as connection:
        ended = await end_silences(connection, mode, datetime.now(UTC))
    if not ended:  # that of a mode which is not configured any more may be ended, too
        require_mode(config, mode)
    return ended


async def _load(config: "Path", mode: str | None) -> "Sequence[Silence]":
    from datetime import UTC, datetime

    from reservd.cli.store import open_store
    from reservd.config.load import load_settings
    from reservd.store.operators import load_silences

    async with open_store(config, load_settings(config)) as database, database.read() as connection:
        found = await load_silences(connection, datetime.now(UTC))
    return [each for each in found if mode in (None, each.mode)]


def _print(found: "Sequence[Silence]", *, as_json: bool) -> None:
    if as_json:
        import json

        typer.echo(json.dumps([each._asdict() for each in found], indent=2, default=lambda moment: moment.isoformat()))
        return
    from reservd.cli.event_view import show_time
    from reservd.cli.table import make_console, make_table, visible

    if not found:
        typer.echo("no silences")
        return
    table = make_table("Mode", "From", "Until", "Made by")
    table.add_column("Reason", overflow="fold")
    for each in found:
        cells = (each.mode, show_time(each.begins_at), show_time(each.ends_at), each.made_by, each.reason)
        table.add_row(*map(visible, cells))
    make_console().print(table)
