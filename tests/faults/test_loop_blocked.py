"""A plugin blocks the event loop: that cannot be interrupted, so the log must name the plugin."""

import time
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from reservd.loop_watch import LoopWatch
from support.daemon import ReservdProcess
from support.polling import wait_until

_LONGEST_SECONDS = 60
PLUGIN = """\
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from reservd.plugin import Balance, BalanceSource, ConfigPath, Reading, SourceConfig, hookimpl


class Options(SourceConfig):
    blocked_by: ConfigPath


class SleepySource(BalanceSource[Options]):
    PLUGIN_NAME = "sleepy"
    Config = Options

    async def fetch_balances(self):
        while self.config.blocked_by.exists():
            time.sleep(0.05)
        return Reading([Balance("main", "USDT", Decimal(100), datetime.now(UTC))])


@hookimpl
def reservd_register_balance_sources():
    return [SleepySource]
"""
MAIN = """\
modes: mode.yaml
balance_sources:
  bank: {plugin: sleepy, options: {blocked_by: blocked}}
equity_sources:
  nav: {plugin: static, options: {amount: 1000}}
event_sinks:
  journal: {plugin: log}
"""
MODE = """\
mode: cash
share_class: USDT
reserve_ratio: 0.05
reserve_monitoring_interval: 0.5
reserve_balance_sources: [bank]
reserve_equity_source: nav
reserve_event_sinks: [journal]
"""


def hog_the_loop(logs: Sequence[MutableMapping[str, Any]]) -> None:
    """Block the thread of the event loop until the block has been logged."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not logs and time.monotonic() < deadline:
        time.sleep(0.01)


async def test_what_blocks_the_loop_is_named_while_it_does() -> None:
    """The block is logged once, with a stack trace."""
    with capture_logs() as logs, LoopWatch(patience_seconds=0.1):
        hog_the_loop(logs)
    assert [(each["event"], each["log_level"]) for each in logs] == [("loop.blocked", "error")]
    assert "in hog_the_loop" in logs[0]["stack"]


def test_daemon_tells_which_plugin_blocks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log contains the line of the plugin, and the daemon continues once the plugin returns."""
    plugins = tmp_path / "plugins"
    (plugins / "sleepy-1.dist-info").mkdir(parents=True)
    (plugins / "reservd_sleepy.py").write_text(PLUGIN)
    (plugins / "sleepy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: sleepy\nVersion: 1\n")
    (plugins / "sleepy-1.dist-info" / "entry_points.txt").write_text("[reservd]\nsleepy = reservd_sleepy\n")
    (tmp_path / "reservd.yaml").write_text(MAIN)
    (tmp_path / "mode.yaml").write_text(MODE)
    monkeypatch.setenv("PYTHONPATH", str(plugins))
    with ReservdProcess(tmp_path / "reservd.yaml") as daemon:
        (tmp_path / "blocked").touch()
        wait_until(
            lambda: "in fetch_balances" in daemon.log(),
            "the log to name what blocks the loop",
            timeout_seconds=_LONGEST_SECONDS,
        )
        (tmp_path / "blocked").unlink()
        assert "loop.blocked" in daemon.log()
        assert daemon.get("/-/healthy")
