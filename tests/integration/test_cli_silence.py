"""`reservd silence`, on a real store on SQLite and on PostgreSQL."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reservd.cli.silence import parse_duration
from support.commands import ESCAPE, SHOWN_ESCAPE, Command, Store

MAKE = ["--for", "1h", "--reason", "x"]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["alhpa", *MAKE], 1, "mode 'alhpa' is not configured; did you mean alpha?"),
        (["alhpa", "--end"], 1, "mode 'alhpa' is not configured; did you mean alpha?"),
        (["alpha"], 2, "one of --for, --end and --list is needed"),
        (["alpha", *MAKE, "--end"], 2, "one of --for, --end and --list is needed"),
        (["alpha", "--for", "1h"], 2, "--for and --reason go together"),
        (["alpha", "--for", "1h", "--reason", " "], 2, "--for and --reason go together"),
        (["alpha", "--reason", "x"], 2, "--for and --reason go together"),
        (["alpha", "--end", "--json"], 2, "--json goes with --list"),
        (["--end"], 2, "a MODE is needed"),
        (MAKE, 2, "a MODE is needed"),
        (["alpha", "--for", "32d", "--reason", "x"], 2, "at most 31d, got '32d'"),
    ],
)
def test_silence_refuses_in_one_line_and_writes_nothing(
    command: Command, store: Store, arguments: list[str], code: int, line: str
) -> None:
    result = command("silence", *arguments)
    assert (result.code, result.out) == (code, "")
    assert line in result.err
    assert len(result.err.splitlines()) == (1 if code == 1 else 4), "one line, preceded by the usage if that is wrong"
    assert (store.redelivery_requests(), store.silences()) == ([], [])


def test_silence_is_stored_with_its_end_its_reason_and_its_maker(
    command: Command, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    result = command("silence", "alpha", "--for", "2h", "--reason", " exchange maintenance ")
    assert (result.code, result.err) == (0, "")
    assert re.fullmatch(r"silenced alpha until [-0-9]+ [:0-9]+Z; it is watched and refilled as usual\n", result.out)
    (kept,) = store.silences()
    assert (kept.mode, kept.reason, kept.made_by) == ("alpha", "exchange maintenance", "alice")
    assert kept.ends_at - kept.begins_at == timedelta(hours=2)
    assert kept.covers("alpha", datetime.now(UTC))


def test_silences_are_listed_until_they_end(command: Command, store: Store) -> None:
    assert command("silence", "--list").out == "no silences\n"
    now = datetime.now(UTC)
    store.silence(id="1", mode="beta", ends_at=now + timedelta(hours=2), reason=ESCAPE)
    store.silence(id="2", mode="alpha")
    store.silence(id="3", mode="gone", begins_at=now - timedelta(days=2), ends_at=now - timedelta(days=1))
    rows = command("silence", "--list").rows
    assert rows[0] == ["Mode", "From", "Until", "Made by", "Reason"]
    assert [(row[0], row[3], row[4]) for row in rows[1:]] == [
        ("alpha", "somebody", "r"),
        ("beta", "somebody", SHOWN_ESCAPE),
    ]
    (listed,) = command("silence", "beta", "--list", "--json").json
    assert (listed["mode"], listed["reason"], listed["made_by"]) == ("beta", ESCAPE, "somebody")
    assert datetime.fromisoformat(listed["ends_at"]) == now + timedelta(hours=2)


def test_silences_of_a_mode_end_when_they_are_told_to(command: Command, store: Store, store_config: Path) -> None:
    for number, mode in enumerate(("alpha", "alpha", "beta")):
        store.silence(id=str(number), mode=mode)
    (store_config.parent / "modes" / "alpha.yaml").unlink()
    assert command("silence", "alpha", "--end").out == "ended 2 silences of alpha\n"
    assert [each.mode for each in store.silences(datetime.now(UTC))] == ["beta"]
    assert command("silence", "beta", "--end").out == "ended 1 silence of beta\n"
    assert command("silence", "beta", "--end").out == "nothing to do: beta is not silenced\n"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86400), ("31d", 31 * 86400), ("744h", 2678400)],
)
def test_duration_is_a_number_and_a_unit(given: str, seconds: int) -> None:
    assert parse_duration(given) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "given", ["", "2", "h", "0s", "-1h", "1.5h", "2 h", "1w", "2H", "1h30m", "745h", "9" * 30 + "s", "²h"]
)
def test_duration_is_refused_when_it_is_none(command: Command, store: Store, given: str) -> None:
    result = command("silence", "alpha", f"--for={given}", "--reason", "x")
    assert result.code == 2
    assert "must be a duration such as 90s, 15m, 2h or 1d, at most 31d" in result.err
