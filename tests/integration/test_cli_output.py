"""The real program when its output or its log cannot be written: a full disk, a closed stream, a reader that left."""

import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from support.daemon import PROGRAM
from support.polling import wait_until

_MAIN = """\
modes: mode.yaml
web: {listen_address: 127.0.0.1:0}
balance_sources: {vault: {plugin: static, options: {balances: [{asset: USDT, amount: 60}]}}}
equity_sources: {nav: {plugin: static, options: {amount: 1000}}}
event_sinks: {journal: {plugin: jsonl, options: {path: events.jsonl}}}
"""
_MODE = """\
mode: pure_lending
share_class: USDT
reserve_ratio: 0.07
reserve_balance_sources: [vault]
reserve_equity_source: nav
reserve_event_sinks: [journal]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration whose mode is low."""
    (tmp_path / "reservd.yaml").write_text(_MAIN)
    (tmp_path / "mode.yaml").write_text(_MODE)
    return tmp_path


def start(folder: Path, command: str) -> subprocess.Popen[str]:
    """Start the program in a shell that redirects its output, and then becomes it."""
    line = f"exec {shlex.quote(str(PROGRAM))} {command}"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(["sh", "-c", line], cwd=folder, text=True, **pipes)


@pytest.mark.parametrize(
    ("command", "code"),
    [("check", 3), ("check --json", 3), ("check --explain", 3), ("check-config", 1), ("plugins", 1), ("--help", 1)],
)
def test_program_says_in_one_line_that_its_output_cannot_be_written(folder: Path, command: str, code: int) -> None:
    """Nobody reads the traceback of a full disk, and a check that tells nothing is unknown."""
    ended = start(folder, f"{command} >/dev/full")
    assert ended.communicate() == ("", "reservd: the output cannot be written: No space left on device\n")
    assert ended.returncode == code


@pytest.mark.parametrize(
    "command", ["check >/dev/full", "check -c nowhere.yaml", "check -c mode.yaml", "check nowhere", "check --bad"]
)
@pytest.mark.parametrize("error", ["2>/dev/full", "2>&-"])
def test_failed_check_ends_with_3_when_its_error_cannot_be_written(folder: Path, command: str, error: str) -> None:
    """Not as if it had found the reserve low."""
    ended = start(folder, f"{command} {error}")
    ended.communicate()
    assert ended.returncode == 3


@pytest.mark.parametrize("output", ["2>/dev/full", ">&- 2>&-", "2>&1 >/dev/full"])
def test_daemon_watches_and_ends_well_when_its_log_cannot_be_written(folder: Path, output: str) -> None:
    """A full disk must not keep alarms from being sent."""
    journal = folder / "events.jsonl"
    with start(folder, f"run {output}") as daemon:
        assert daemon.stdout is not None
        if output.startswith("2>&1"):  # whoever reads the log leaves before its first line
            daemon.stdout.close()
        try:
            wait_until(lambda: daemon.poll() is not None or is_sent(journal), "the event")
            assert daemon.poll() is None
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)
    assert daemon.returncode == 0


def is_sent(journal: Path) -> bool:
    """Whether the journal has the event."""
    return journal.exists() and "reserve_low" in journal.read_text()
