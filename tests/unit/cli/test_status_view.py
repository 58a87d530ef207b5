"""How modes are shown in a terminal: no mode looks better than it is, and nothing is lost in a narrow one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from reservd.cli.durations import show_duration
from reservd.cli.status_view import show_modes, summarize
from reservd.reserve.models import ReserveStatus
from reservd.reserve.replenishment import Inaction
from reservd.wire.modes import IncidentView, InFlightView, ModeView, RunwayView

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG = "usdt_market_neutral_no_leverage"


def mode(
    name: str = "m", status: str = "adequate", balance: object = 110, target: object = 100, **more: Any
) -> ModeView:
    """Return the standing of a mode that was read three seconds ago; a balance of None was never read."""
    found = None if balance is None else Decimal(str(balance))
    wanted = None if balance is None else Decimal(str(target))
    fields = {
        "mode": name,
        "share_class": "USDT",
        "status": status,
        "incident": None,
        "reserve_balance": found,
        "target_reserve": wanted,
        "utilization": found / wanted if found is not None and wanted else None,
        "shortfall": None,
        "total_equity": None,
        "held": Decimal(0),
        "runway": None,
        "in_flight": InFlightView(requests=0, awaiting_approval=0, amount=Decimal(0)),
        "inaction": None,
        "observed_at": None if balance is None else NOW - timedelta(seconds=3),
        "confirmed_at": None,
        "checked_at": None,
        "missing": [],
    }
    return ModeView(**{**fields, **more})


def busy(name: str = LONG) -> ModeView:
    """Return a mode with something in every field."""
    return mode(
        name,
        "low",
        "1234567.891",
        "2345678.9",
        held=Decimal("250.5"),
        runway=RunwayView(low_seconds=0, critical_seconds=9000),
        in_flight=InFlightView(requests=2, awaiting_approval=1, amount=Decimal("1111111.009")),
        incident=IncidentView(id="i", severity=ReserveStatus.LOW, opened_at=NOW - timedelta(hours=5)),
    )


def shown(*modes: ModeView, width: int = 200) -> list[str]:
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(show_modes(modes, NOW, width))
    return [line.rstrip() for line in captured.get().splitlines()]


def cells(*modes: ModeView) -> list[str]:
    """Return the cells of the first mode in the table, without the bar."""
    return shown(*modes)[1].replace("━", "").replace("╸", "").replace("─", "").split()


def test_worst_is_shown_first_and_equals_by_name() -> None:
    statuses = {"d": "adequate", "c": "low", "b": "unknown", "a": "critical", "e": "critical"}
    rows = shown(*(mode(name, status) for name, status in statuses.items()))[1:]
    assert [row.split()[0] for row in rows] == ["a", "e", "b", "c", "d"]


@pytest.mark.parametrize(
    ("balance", "bar"),
    [
        ("0", "──────────   0.0%"),
        ("-5", "──────────  -5.0%"),
        ("49.99", "━━━━╸─────  49.9%"),
        ("50", "━━━━━─────  50.0%"),
        ("99.9999", "━━━━━━━━━╸  99.9%"),
        ("100", "━━━━━━━━━━ 100.0%"),
        ("250", "━━━━━━━━━━ 250.0%"),
    ],
)
def test_bar_is_full_at_the_target_and_not_before(balance: str, bar: str) -> None:
    assert bar in shown(mode(balance=balance))[1]


def test_amounts_are_cut_and_needs_are_raised_so_that_nothing_looks_enough() -> None:
    found = cells(mode(balance="99.999999999", target="100.000000001", held=Decimal("1.0000000001")))
    assert found[2:7] == ["99.9%", "99.999999", "100.00001", "USDT", "-"]
    assert found[7] == "1.0000001"


def test_everything_is_said_in_one_row_where_it_fits() -> None:
    row = shown(busy())[1]
    assert row == (
        f"{LONG}  low     ━━━━━─────  52.6%  1,234,567.8  2,345,678.9  USDT  now / 2 h  250.5  "
        "1,111,111, unapproved  low 5 h   3 s"
    )


def test_table_gives_way_to_lines_at_the_first_column_that_lacks() -> None:
    needed = max(map(len, shown(busy())))
    assert shown(busy(), width=needed)[0].startswith("Mode")
    assert shown(busy(), width=needed - 1)[0].startswith(LONG)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_details_are_broken_between_two_things_where_it_is_narrow(width: int) -> None:
    _, *details = shown(busy("m"), width=width)
    said = [part for line in details for part in line.strip().split(" · ")]
    assert said == ["runway now / 2 h", "held 250.5", "refill 1,111,111, unapproved", "incident low 5 h", "3 s old"]
    assert max(map(len, details)) <= width


def test_lines_stand_in_columns() -> None:
    first, second = (line for line in shown(busy(), mode("m", balance=20), width=100) if "USDT" in line)
    for each in ("━", "%", " / ", "USDT"):
        assert first.index(each) == second.index(each)


def test_mode_that_was_never_read_shows_no_number() -> None:
    unread = mode(status="unknown", balance=None, missing=["bank/spot: timeout"])
    row, _, missing = shown(unread)[1:]
    assert row.split()[2:] == ["──────────", "-", "?", "?", "USDT", "-", "-", "-", "-", "never"]
    assert missing == "m: bank/spot: timeout"
    assert shown(unread, width=60)[1].strip() == "never checked"


def test_what_could_not_be_read_is_cut_and_says_so() -> None:
    many = mode(missing=[f"source {number}: timeout" for number in range(15)])
    assert shown(many)[-2:] == [
        "m: source 9: timeout",
        "and 5 more that could not be read: see reservd status --json",
    ]


@pytest.mark.parametrize(
    ("low", "critical", "text"),
    [(7300, 90000, "2 h / 25 h"), (0, 59, "now / 59 s"), (0, 0, "-")],
)
def test_runway_tells_what_is_yet_to_come(low: float, critical: float, text: str) -> None:
    runway = RunwayView(low_seconds=low, critical_seconds=critical)
    assert f"USDT  {text:>6}" in shown(mode(runway=runway))[1]


@pytest.mark.parametrize(
    ("inaction", "text"),
    [
        (None, "-"),
        (Inaction.ADEQUATE, "-"),
        (Inaction.COOLDOWN, "none: cooldown"),
        (Inaction.STORE_GONE, "none: store gone"),
    ],
)
def test_reason_for_no_refill_is_shown_where_one_might_be(inaction: Inaction | None, text: str) -> None:
    assert shown(mode(inaction=inaction))[1].split("  - ")[-2].strip(" -") == text.strip("-")


def test_incident_has_no_age_where_that_was_not_kept() -> None:
    incident = IncidentView(id="i", severity=ReserveStatus.CRITICAL, opened_at=None)
    assert cells(mode(incident=incident))[-3:] == ["critical", "3", "s"]


def test_name_and_reason_do_nothing_to_the_terminal() -> None:
    assert shown(mode(missing=["\x1b]0;owned\x07 [red]"]))[-1] == r"m: \x1b]0;owned\x07 [red]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172799, "47 h"),
        (172800, "2 d"),
        (86400 * 1234.5, "1,234 d"),
    ],
)
def test_span_is_cut_to_whole_units(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


def test_summary_counts_each_status_that_there_is() -> None:
    assert summarize([]).plain == "0 modes"
    assert summarize([mode()]).plain == "1 mode: 1 adequate"
    assert summarize([mode(), mode(status="critical"), mode()]).plain == "3 modes: 1 critical, 2 adequate"


def test_no_modes_are_said_to_be_none() -> None:
    assert shown() == ["no modes"]
