"""Shows modes as one table where it fits, otherwise each with its details below it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from reservd.cli.amounts import show_ratio
from reservd.cli.durations import show_duration
from reservd.cli.table import STATUS_STYLES, make_table, visible
from reservd.reserve.amounts import describe

if TYPE_CHECKING:
    from reservd.wire.modes import ModeView, RunwayView

_WORST_FIRST = ("critical", "unknown", "low", "adequate")
_BAR_CELLS = 10
_MOST_MISSING = 10
_NOTHING = "-"
_NEVER = "never"
_ENDLESS = 10_000


class _Row(NamedTuple):
    """One mode, as text."""

    mode: Text
    status: Text
    coverage: Text
    balance: str
    target: str
    currency: Text
    runway: str
    held: str
    refill: str
    incident: Text
    age: str


def show_modes(modes: "Sequence[ModeView]", now: datetime, width: int) -> RenderableType:
    """Return how modes stand, the worst first.

    Args:
        modes: The modes.
        now: Ages are counted to then.
        width: The columns that there are.
    """
    if not modes:
        return Text("no modes")
    ordered = sorted(modes, key=lambda each: (_WORST_FIRST.index(each.status), each.mode))
    rows = [_row(each, now) for each in ordered]
    table, endless = _table(rows), Console(width=_ENDLESS)
    fits = Measurement.get(endless, endless.options, table).maximum <= width
    return Group(table if fits else Text("\n").join(_lines(rows, width)), *_missing(ordered))


def summarize(modes: "Sequence[ModeView]") -> Text:
    """Return how many modes there are in which status: `3 modes: 1 critical, 2 adequate`."""
    counts = {status: sum(each.status == status for each in modes) for status in _WORST_FIRST}
    told = [Text(f"{count} {status}", STATUS_STYLES[status]) for status, count in counts.items() if count]
    number = f"{len(modes)} mode{'' if len(modes) == 1 else 's'}"
    return Text.assemble(number, ": ", Text(", ").join(told)) if told else Text(number)


def _table(rows: Sequence[_Row]) -> Table:
    table = make_table("Mode", "Status", "Coverage")
    for heading in ("Balance", "Target"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for heading in ("Runway", "Held"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("Refill", "Incident"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Age", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _lines(rows: Sequence[_Row], width: int) -> Iterator[Text]:
    """Yield for each mode how it stands, in columns, and below that what else is to be said of it."""
    columns = list(zip(*rows, strict=True))
    mode, status, coverage, balance, target = (max(cell_len(str(cell)) for cell in cells) for cells in columns[:5])
    for row in rows:
        amounts = f"{row.balance.rjust(balance)} / {row.target.rjust(target)} "
        stands = [_padded(row.mode, mode), _padded(row.status, status), _padded(row.coverage, coverage), Text(amounts)]
        yield Text("  ").join(stands).append_text(row.currency)
        yield from _details(row, width)


def _details(row: _Row, width: int) -> Iterator[Text]:
    """Yield the rest of a row, broken between two things that are said and never within one."""
    named = {"runway": Text(row.runway), "held": Text(row.held), "refill": Text(row.refill), "incident": row.incident}
    said = [Text.assemble(f"{name} ", value) for name, value in named.items() if value.plain != _NOTHING]
    said.append(Text("never checked" if row.age == _NEVER else f"{row.age} old"))
    line = Text("  ", "dim")
    for number, part in enumerate(said):
        if number and cell_len(f"{line.plain} · {part.plain}") > width:
            yield line
            line = Text("  ", "dim")
        line = Text.assemble(line, " · " if line.plain.strip() else "", part, style="dim")
    yield line


def _padded(text: Text, width: int) -> Text:
    return Text.assemble(text, " " * (width - cell_len(text.plain)))


def _row(mode: "ModeView", now: datetime) -> _Row:
    style = STATUS_STYLES[mode.status]
    return _Row(
        visible(mode.mode, "bold"),
        Text(str(mode.status), style),
        _coverage(mode.utilization, style),
        describe(mode.reserve_balance) if mode.reserve_balance is not None else "?",
        describe(mode.target_reserve, round_up=True) if mode.target_reserve is not None else "?",
        visible(mode.share_class),
        _runway(mode.runway),
        describe(mode.held, round_up=True) if mode.held else _NOTHING,
        _refill(mode),
        _incident(mode, now),
        show_duration((now - mode.observed_at).total_seconds()) if mode.observed_at is not None else _NEVER,
    )


def _coverage(coverage: Decimal | None, style: str) -> Text:
    """Return a bar that is full at the target, and the percentage: what is less than the whole looks so."""
    part = min(max(coverage, Decimal(0)), Decimal(1)) if coverage is not None else Decimal(0)
    full, half = divmod(int(part * _BAR_CELLS * 2), 2)
    done = "━" * full + "╸" * half
    number = show_ratio(coverage) if coverage is not None else _NOTHING
    return Text.assemble((done, style), ("─" * (_BAR_CELLS - len(done)), "bright_black"), f" {number:>6}")


def _runway(runway: "RunwayView | None") -> str:
    """Return how long it is until the reserve is low, and until it is critical; only what is yet to come."""
    if runway is None or not runway.critical_seconds:
        return _NOTHING
    critical = show_duration(runway.critical_seconds)
    return f"{show_duration(runway.low_seconds)} / {critical}" if runway.low_seconds else f"now / {critical}"


def _refill(mode: "ModeView") -> str:
    """Return what refills are to bring; or why none is asked for, where one might be."""
    if mode.in_flight.requests:
        waits = ", unapproved" if mode.in_flight.awaiting_approval else ""
        return f"{describe(mode.in_flight.amount)}{waits}"
    if mode.inaction is None or mode.inaction == "adequate":
        return _NOTHING
    return f"none: {mode.inaction.replace('_', ' ')}"


def _incident(mode: "ModeView", now: datetime) -> Text:
    if mode.incident is None:
        return Text(_NOTHING)
    severity, since = mode.incident.severity, mode.incident.opened_at
    lasts = f" {show_duration((now - since).total_seconds())}" if since is not None else ""
    return Text(f"{severity}{lasts}", STATUS_STYLES[severity])


def _missing(modes: "Sequence[ModeView]") -> Iterator[Text]:
    """Yield what could not be read, a line each, after an empty one."""
    lines = [(mode.mode, line) for mode in modes for line in mode.missing]
    if lines:
        yield Text("")
    for mode, line in lines[:_MOST_MISSING]:
        yield Text.assemble(visible(mode, "bold"), ": ", visible(line))
    if len(lines) > _MOST_MISSING:
        yield Text(f"and {len(lines) - _MOST_MISSING} more that could not be read: see reservd status --json")
