"""Logs of a separate process, since logging is configured per process."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

SETUP = """
import asyncio, datetime, decimal, logging
import structlog
from pydantic import SecretStr
from reservd.log import configure_logging
configure_logging({level!r}, {log_format!r})
log = structlog.get_logger("test")
"""
BREAKING = """
def call(token):
    raise RuntimeError("unplanned")
try:
    call("local-s3cret")
except RuntimeError:
    {log}.exception("plugin.broke")
"""


def run(code: str, *, level: str = "info", log_format: str | None = "json", stderr: int = subprocess.PIPE) -> str:
    program = SETUP.format(level=level, log_format=log_format) + code
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, stderr=stderr, text=True
    )
    assert result.stdout == "", "logs go to standard error"
    return result.stderr or ""


def lines(code: str, **settings: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(code, **settings).splitlines()]


def test_json_line_has_the_event_its_level_and_an_utc_time() -> None:
    (line,) = lines('log.bind(mode="pure_lending").warning("check.failed", reason="timeout")')
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "check.failed", "level": "warning", "mode": "pure_lending", "reason": "timeout"}


def test_json_shows_values_of_any_type_without_their_python_names() -> None:
    (line,) = lines(
        'log.info("x", amount=decimal.Decimal("1.50"), day=datetime.date(2026, 1, 2), secret=SecretStr("hidden"))'
    )
    assert (line["amount"], line["day"], line["secret"]) == ("1.50", "2026-01-02", "**********")


def test_line_has_what_is_bound_to_the_task() -> None:
    (line,) = lines('structlog.contextvars.bind_contextvars(cycle=7); log.info("x")')
    assert line["cycle"] == 7


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_only_lines_of_the_level_are_shown(level: str, shown: list[str]) -> None:
    code = "for each in ('debug', 'info', 'warning', 'error'): {}"
    own = lines(code.format("getattr(log, each)(each)"), level=level)
    others = lines(code.format("getattr(logging.getLogger('library'), each)(each)"), level=level)
    assert [line["event"] for line in own] == [line["event"] for line in others] == shown


def test_libraries_log_in_the_same_shape() -> None:
    (line,) = lines('logging.getLogger("library").warning("slow: %s", 5)')
    assert (line["event"], line["level"]) == ("slow: 5", "warning")
    assert "timestamp" in line


def test_routine_lines_of_noisy_libraries_are_left_out() -> None:
    names = ["apscheduler.scheduler", "asyncio", "aiohttp.access", "uvicorn.access", "uvicorn.error"]
    assert lines(f"for each in {names}: logging.getLogger(each).info('again')") == []
    errors = lines(f"for each in {names}: logging.getLogger(each).error('broken')")
    assert len(errors) == len(names)


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("log", ["log", "logging.getLogger('library')"])
def test_traceback_shows_no_local_variable(log_format: str, log: str) -> None:
    """Local variables may hold secrets."""
    text = run(BREAKING.format(log=log), log_format=log_format)
    assert "RuntimeError: unplanned" in text
    assert "Traceback (most recent call last)" in text
    assert "local-s3cret" not in text


def test_traceback_is_text_in_json() -> None:
    (line,) = lines(BREAKING.format(log="log"))
    assert line["exception"].splitlines()[0] == "Traceback (most recent call last):"
    assert line["exception"].splitlines()[-1] == "RuntimeError: unplanned"


def test_traceback_that_is_given_as_text_is_shown_as_such() -> None:
    code = 'log.error("plugin.broke", exception="Traceback of the plugin")'
    assert lines(code)[0]["exception"] == "Traceback of the plugin"
    assert run(code, log_format="console").endswith("Traceback of the plugin\n")


def test_console_line_is_for_people() -> None:
    text = run('log.warning("check.failed", reason="timeout")', log_format="console")
    assert "check.failed" in text
    assert "reason=timeout" in text
    assert "\x1b" not in text, "no colours without a terminal"


def test_format_is_json_when_standard_error_is_no_terminal() -> None:
    assert lines('log.info("x")', log_format=None)[0]["event"] == "x"


def test_format_is_console_when_standard_error_is_a_terminal() -> None:
    reader, writer = pty.openpty()
    try:
        run('log.info("x")', log_format=None, stderr=writer)
        text = os.read(reader, 4096).decode()
    finally:
        os.close(reader)
        os.close(writer)
    assert "\x1b[" in text
    assert not text.startswith("{")


def test_lines_are_not_repeated_when_logging_is_configured_again() -> None:
    found = lines('configure_logging("error", "json"); log.info("unseen"); logging.getLogger("x").error("seen")')
    assert [line["event"] for line in found] == ["seen"]


def test_loggers_in_use_follow_a_level_that_is_set_later() -> None:
    found = lines('log.info("first"); configure_logging("error", "json"); log.info("unseen"); log.error("seen")')
    assert [line["event"] for line in found] == ["first", "seen"]
