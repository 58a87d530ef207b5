"""The real program as a process: its output and its exit codes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

import reservd
from reservd.cli import main
from support.commands import Result
from support.daemon import PROGRAM, ReservdProcess
from support.polling import wait_until

COMMANDS = ["run", "check", "check-config", "status", "silence", "healthcheck", "token", "plugins", "schema"]
COMMANDS += ["events", "withdrawals", "replenishments"]
SUBCOMMANDS = {
    "events": ["show", "dead-letters", "redeliver"],
    "withdrawals": ["list", "show", "quote", "paying", "settle", "cancel"],
    "replenishments": ["list", "show", "request", "approve", "reject", "cancel"],
}

MAIN = """\
modes: modes/*.yaml
web: {listen_address: 127.0.0.1:0}
balance_sources:
  good: {plugin: static, options: {balances: [{asset: USDT, amount: 60}]}}
  fair: {plugin: static, options: {balances: [{asset: USDT, amount: 49.9999}]}}
  bad: {plugin: static, options: {balances: [{asset: USDT, amount: 20.5}]}}
  gone: {plugin: http_json, options: {url: "http://127.0.0.1:1/hidden-path", balances: [{asset: USDT, amount: $.x}]}}
equity_sources:
  nav: {plugin: static, options: {amount: 1000}}
event_sinks:
  journal: {plugin: jsonl, options: {path: events.jsonl}}
"""
MODE = """\
mode: {name}
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [{source}]
reserve_equity_source: nav
reserve_event_sinks: [journal]
"""
MODES = {"adequate_mode": "good", "low_mode": "fair", "critical_mode": "bad", "unknown_mode": "gone"}

DEAF = """\
import asyncio
import contextlib

from reservd.plugin import BalanceSource, SourceConfig, hookimpl


class DeafSource(BalanceSource[SourceConfig]):
    PLUGIN_NAME = "deaf"
    Config = SourceConfig

    async def fetch_balances(self):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)


@hookimpl
def reservd_register_balance_sources():
    return [DeafSource]
"""

Run = Callable[..., subprocess.CompletedProcess[str]]
Call = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with a mode in each status."""
    (tmp_path / "reservd.yaml").write_text(MAIN)
    (tmp_path / "modes").mkdir()
    for name, source in MODES.items():
        (tmp_path / "modes" / f"{name}.yaml").write_text(MODE.format(name=name, source=source))
    return tmp_path / "reservd.yaml"


@pytest.fixture
def program(tmp_path: Path) -> Run:
    """Run the program in an empty folder, with its output not in a terminal."""

    def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RESERVD_")}
        return subprocess.run(
            [PROGRAM, *map(str, arguments)],
            cwd=tmp_path,
            env=kept | environ,
            check=False,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process, where a separate one is not needed."""
    for name in os.environ:
        if name.startswith("RESERVD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_version_is_that_of_the_package(program: Run) -> None:
    result = program("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"reservd {reservd.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(program: Run, flag: str) -> None:
    result = program(flag)
    assert result.returncode == 0
    assert re.findall(r"^  ([a-z-]+)  ", result.stdout.partition("Commands:")[2], re.MULTILINE) == COMMANDS
    assert "..." not in result.stdout.partition("Commands:")[2], "no summary is cut off"


@pytest.mark.parametrize("group", SUBCOMMANDS)
def test_help_of_a_group_lists_every_command_of_it(call: Call, group: str) -> None:
    commands = call(group, "--help").out.partition("Commands:")[2]
    assert re.findall(r"^  ([a-z-]+)  ", commands, re.MULTILINE) == SUBCOMMANDS[group]
    assert "..." not in commands


@pytest.mark.parametrize(
    "command", [*COMMANDS, *(f"{group} {name}" for group, names in SUBCOMMANDS.items() for name in names)]
)
def test_help_of_a_command_says_what_it_does_and_takes(call: Call, command: str) -> None:
    result = call(*command.split(), "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"Usage: reservd {command} [OPTIONS]")
    options = re.findall(r"^  (?:-\w, )?(--[\w.-]+)(.*(?:\n {8,}.*)*)", result.out, re.MULTILINE)
    assert "--help" in dict(options)
    assert [name for name, text in options if len(text.strip().split()) < 2] == [], "each option is explained"


def test_help_is_shown_when_no_command_is_named(program: Run) -> None:
    result = program()
    assert result.returncode == 2
    assert "Commands:" in result.stderr + result.stdout


def test_help_imports_no_library_that_it_does_not_need(program: Run) -> None:
    """Only Python's own modules and Typer are needed; others would make it slow."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", PROGRAM, "--help"], check=True, capture_output=True, text=True
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "typer" in imported
    heavy = {"pydantic", "aiohttp", "yaml", "pluggy", "structlog", "apscheduler", "starlette", "uvicorn", "rich"}
    heavy |= {"sqlalchemy", "alembic"}
    assert heavy & imported == set()
    assert {name for name in imported if name.startswith("reservd_")} == set()


@pytest.mark.parametrize(
    ("modes", "code"),
    [
        (["adequate_mode"], 0),
        (["low_mode"], 1),
        (["critical_mode"], 2),
        (["unknown_mode"], 3),
        (["adequate_mode", "low_mode"], 1),
        (["low_mode", "unknown_mode"], 3),
        (["low_mode", "unknown_mode", "critical_mode"], 2),
        ([], 2),
    ],
)
def test_check_ends_with_the_code_of_the_worst_status(call: Call, config: Path, modes: list[str], code: int) -> None:
    """Critical comes first, then unknown, then low."""
    result = call("check", "-c", config, *modes)
    assert (result.code, result.err) == (code, "")
    shown = re.findall(r"^(\w+_mode) ", result.out, re.MULTILINE)
    assert set(shown) == set(modes or MODES)


def test_check_announces_nothing(call: Call, config: Path) -> None:
    call("check", "-c", config)
    assert not (config.parent / "events.jsonl").exists()


def test_check_prints_a_table_that_never_flatters(call: Call, config: Path) -> None:
    rows = [line.split() for line in call("check", "-c", config).out.splitlines()]
    assert rows[0] == ["Mode", "Status", "Reserve", "Target", "Coverage", "Shortfall", "Equity", "Currency"]
    table = {row[0]: row[1:] for row in rows[1:5]}
    assert table["adequate_mode"] == ["adequate", "60.00", "50.00", "120.0%", "0.00", "1,000.00", "USDT"]
    assert table["low_mode"] == ["low", "49.9999", "50.00", "99.9%", "0.0001", "1,000.00", "USDT"]
    assert table["critical_mode"] == ["critical", "20.50", "50.00", "41.0%", "29.50", "1,000.00", "USDT"]
    assert table["unknown_mode"] == ["unknown", "?", "50.00", "-", "?", "1,000.00", "USDT"]
    assert rows[5][:2] == ["unknown_mode:", "gone/main:"]


def test_check_says_why_a_status_is_unknown_without_a_url(call: Call, config: Path) -> None:
    result = call("check", "-c", config, "unknown_mode")
    assert "unknown_mode: gone/main: " in result.out
    assert "refused" in result.out
    assert "hidden-path" not in result.out + result.err


def test_check_prints_json_with_amounts_as_text(call: Call, config: Path) -> None:
    result = call("check", "--json", "--config", config)
    assert result.code == 2
    found = {each["strategy_mode"]: each for each in json.loads(result.out)}
    low = found["low_mode"]
    assert (low["status"], low["share_class"]) == ("low", "USDT")
    assert (low["reserve_balance"], low["total_equity"], low["shortfall"]) == ("49.9999", "1000", "0.0001")
    assert (float(low["target_reserve"]), float(low["reserve_ratio"])) == (50, 0.05)
    assert low["observed_at"] <= low["timestamp"]
    unknown = found["unknown_mode"]
    assert (unknown["reserve_balance"], unknown["shortfall"], unknown["reserve_utilization"]) == (None, None, None)
    assert unknown["bounds"] == {"lower": None, "upper": None}
    assert unknown["missing"][0].startswith("gone/main: ")
    assert low["bounds"] is None


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--nope"], "No such option: --nope"),
        (["--config"], "requires an argument"),
        (["-c", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file or directory"),
        (["lwo_mode"], "mode 'lwo_mode' is not configured; did you mean low_mode?"),
    ],
)
def test_check_ends_with_3_when_it_cannot_tell(call: Call, config: Path, arguments: list[str], line: str) -> None:
    """Never 1 or 2, which monitoring systems would take for low and critical."""
    result = call("check", *arguments)
    assert (result.code, result.out) == (3, "")
    assert line in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(("command", "code"), [("run", 1), ("check", 3), ("check-config", 1), ("events", 1)])
def test_program_says_how_to_name_the_configuration_when_none_is_here(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(command)
    assert (result.code, result.out) == (code, "")
    assert result.err.splitlines() == [
        "reservd.yaml: cannot be read: No such file or directory",
        "name another configuration by --config FILE or $RESERVD_CONFIG",
    ]


@pytest.mark.parametrize(("command", "code"), [(["check", "-c", "reservd.yaml"], 3), (["schema"], 1)])
def test_program_ends_quietly_when_nobody_reads_what_it_prints(config: Path, command: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(
        [PROGRAM, *command], cwd=config.parent, check=False, stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (code, "")


def test_check_ends_with_3_when_something_breaks(program: Run, config: Path) -> None:
    """Even on a defect of reservd itself."""
    (config.parent / "rich.py").write_text("raise RuntimeError('broken on purpose')")
    result = program("check", "-c", config, PYTHONPATH=str(config.parent))
    assert result.returncode == 3
    assert "RuntimeError: broken on purpose" in result.stderr


def test_check_ends_when_a_plugin_never_lets_go_of_a_call(program: Run, config: Path) -> None:
    """The result is printed and gives the exit code: monitoring waits for no plugin."""
    plugins = config.parent / "plugins"
    (plugins / "deaf-1.dist-info").mkdir(parents=True)
    (plugins / "reservd_deaf.py").write_text(DEAF)
    (plugins / "deaf-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: deaf\nVersion: 1\n")
    (plugins / "deaf-1.dist-info" / "entry_points.txt").write_text("[reservd]\ndeaf = reservd_deaf\n")
    config.write_text(
        MAIN.replace(
            "  bad: {plugin: static", "  deaf: {plugin: deaf, options: {timeout: 0.2}}\n  bad: {plugin: static"
        )
    )
    mode = config.parent / "modes" / "low_mode.yaml"
    mode.write_text(MODE.format(name="low_mode", source="deaf"))
    result = program("check", "low_mode", "critical_mode", PYTHONPATH=str(plugins))
    assert result.returncode == 2
    assert "deaf/main: timeout: no answer within 0.2 s" in result.stdout
    assert result.stderr == ""


def test_configuration_is_found_by_the_environment(program: Run, config: Path) -> None:
    moved = config.rename(config.with_name("other.yaml"))
    assert program("check-config").returncode == 1
    assert program("check-config", RESERVD_CONFIG=str(moved)).returncode == 0


def test_check_config_counts_what_it_found(call: Call, config: Path) -> None:
    result = call("check-config")
    assert (result.code, result.err) == (0, "")
    assert result.out == "reservd.yaml: good: 4 modes, 5 sources, 1 event sink, 0 replenishers\n"


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (None, "tokens.yaml: cannot be read: No such file or directory"),
        ("tokens: [{name: bot, role: read}]\n", "tokens.yaml:1:10: tokens[0].sha256: is required"),
    ],
)
def test_check_config_looks_at_the_tokens_as_the_daemon_does(
    call: Call, config: Path, tokens: str | None, said: str
) -> None:
    """A daemon does not start without its tokens, which must be known before a restart."""
    main = config.read_text()
    config.write_text(
        main.replace("{listen_address: 127.0.0.1:0}", "{listen_address: 127.0.0.1:0, tokens_file: tokens.yaml}")
    )
    if tokens is not None:
        (config.parent / "tokens.yaml").write_text(tokens)
    result = call("check-config")
    assert (result.code, result.err) == (1, f"{said}\n")


def test_check_config_looks_at_the_store_as_the_daemon_does(call: Call, config: Path) -> None:
    """The text after an unencoded @ in a password would be taken for a port."""
    with config.open("a") as file:
        file.write('store: {url: "postgresql://user:half@s3cret:half@host/db"}\n')
    result = call("check-config")
    assert result.code == 1
    assert result.err.startswith("reservd.yaml: store.url: must be a URL such as")
    assert "half" not in result.err


@pytest.mark.parametrize(
    ("web", "lines"),
    [
        ("basic_auth_users: {a: plain}\n", ["web.yaml:1:23: basic_auth_users.a: must be a bcrypt hash"]),
        (None, ["web.yaml: cannot be read: No such file or directory"]),
        (
            "tls_server_config: {cert_file: a.pem, key_file: b.pem}\n",
            ["a.pem and b.pem: must be a certificate and its key as PEM"],
        ),
        ("{}\n", []),
    ],
)
def test_check_config_looks_at_the_web_config_file_as_the_daemon_does(
    call: Call, config: Path, web: str | None, lines: list[str]
) -> None:
    if web is not None:
        (config.parent / "web.yaml").write_text(web)
    result = call("check-config", "--web.config.file", "web.yaml")
    assert result.code == (1 if lines else 0)
    assert len(result.err.splitlines()) == len(lines)
    assert result.err.startswith("".join(lines))
    assert "plain" not in result.err
    config.write_text("modes: 7\n")
    together = call("check-config", "--web.config.file", "web.yaml").err
    assert "reservd.yaml:1:8: modes: " in together
    assert "".join(lines) in together


def test_check_config_warns_of_a_silent_zone(call: Call, config: Path) -> None:
    mode = config.parent / "modes" / "low_mode.yaml"
    mode.write_text(mode.read_text() + "reserve_low_threshold: 0.5\nreserve_critical_threshold: 0.2\n")
    result = call("check-config")
    assert result.code == 0
    assert result.err == (
        "warning: modes/low_mode.yaml:7:24: reserve_low_threshold: "
        "a reserve between 0.5 and 1 of its target does not count as low\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "reserve_ratio",
            "reserve_ration",
            "modes/low_mode.yaml:3:1: reserve_ration: unknown key; did you mean reserve_ra",
        ),
        (
            "share_class: USDT",
            "share_class: USDT\nreserve_currency: USDC",
            "modes/low_mode.yaml:3:19: reserve_currency: must equal share_class (USDT), got 'USDC'",
        ),
        (
            "share_class: USDT",
            "share_class: USDT\nreserve_low_threshold: 0.5\nreserve_critical_threshold: 0.7",
            "modes/low_mode.yaml:4:29: reserve_critical_threshold: must be below reserve_low_threshold (0.5), got 0.7",
        ),
        ("mode: low_mode\n", "{[", "modes/low_mode.yaml:2:"),
    ],
)
@pytest.mark.parametrize(("command", "code"), [("check-config", 1), ("run", 1), ("check", 3)])
def test_configuration_error_is_one_located_line(
    call: Call, config: Path, old: str, new: str, line: str, command: str, code: int
) -> None:
    mode = config.parent / "modes" / "low_mode.yaml"
    mode.write_text(mode.read_text().replace(old, new))
    result = call(command)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(line)
    assert len(result.err.splitlines()) == 1


def add_plugin(folder: Path, code: str, metadata: str = "") -> None:
    """Add an installed distribution with the plugin `broken`."""
    (folder / "reservd_broken.py").write_text(code)
    info = folder / "reservd_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: reservd-broken\nVersion: 1.0\n{metadata}")
    (info / "entry_points.txt").write_text("[reservd]\nbroken = reservd_broken\n")


def test_plugins_lists_what_is_installed(program: Run) -> None:
    result = program("plugins")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {line.split()[0]: line for line in result.stdout.splitlines()}
    installed = distribution("reservd").entry_points.select(group="reservd").names
    assert list(rows) == ["Plugin", *sorted(installed)]
    assert {"evm", "log", "webhook"} <= installed
    assert f"reservd {reservd.__version__}" in rows["evm"]
    assert "balance_sources, equity_sources, replenishers" in rows["paper"]
    assert {line.split()[1] for line in rows.values()} == {"State", "usable"}


def listed_plugin(program: Run, folder: Path) -> tuple[int, Any]:
    """Return the exit code of the list, and its entry for the plugin `broken`; check that the table says the same."""
    table, listed = program("plugins", PYTHONPATH=str(folder)), program("plugins", "--json", PYTHONPATH=str(folder))
    assert (table.returncode, table.stderr) == (listed.returncode, listed.stderr)
    (told,) = [plugin for plugin in json.loads(listed.stdout) if plugin["state"] != "usable"]
    (row,) = [line for line in table.stdout.splitlines() if line.startswith("broken ")]
    assert row.split(maxsplit=1)[1].startswith(told["state"].replace("_", " "))
    # In full: brackets in a hint must not be taken for markup of the table.
    assert row.endswith(told["error"].removeprefix("plugin 'broken'"))
    return listed.returncode, told


def test_plugins_names_the_command_that_installs_what_an_extra_would_bring(program: Run, tmp_path: Path) -> None:
    """A plugin whose extra was not requested is not broken."""
    add_plugin(tmp_path, "import brokenlib", "Requires-Dist: brokenlib; extra == 'broken'\n")
    assert listed_plugin(program, tmp_path) == (
        0,
        {
            "name": "broken",
            "distribution": "reservd-broken 1.0",
            "state": "extra_missing",
            "kinds": [],
            "error": "plugin 'broken' needs the Python package 'brokenlib': pip install 'reservd-broken[broken]'",
        },
    )


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("1 / 0", "plugin 'broken' cannot be imported: ZeroDivisionError: division by zero"),
        ("import brokenlib", "plugin 'broken' cannot be imported: no module named 'brokenlib'"),
        ("", "plugin 'broken' registers nothing: its hooks must bear @hookimpl and return classes"),
    ],
)
def test_plugins_ends_with_1_and_says_why_when_one_is_broken(
    program: Run, tmp_path: Path, code: str, error: str
) -> None:
    add_plugin(tmp_path, code)
    ended, told = listed_plugin(program, tmp_path)
    assert (ended, told["state"], told["error"]) == (1, "broken", error)


def test_daemon_does_not_import_a_broken_plugin_that_it_does_not_need(program: Run, config: Path) -> None:
    add_plugin(config.parent, "raise SystemExit('imported')")
    result = program("check-config", PYTHONPATH=str(config.parent))
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "title"),
    [
        ([], "reservd"),
        (["config"], "reservd"),
        (["mode"], "reservd mode"),
        (["event"], "reservd message"),
        (["event", "reservd.reserve_low.v1"], "reservd.reserve_low.v1"),
    ],
)
def test_schema_prints_a_json_schema(call: Call, arguments: list[str], title: str) -> None:
    result = call("schema", *arguments)
    assert result.code == 0
    assert json.loads(result.out)["title"] == title


@pytest.mark.parametrize(
    "arguments",
    [
        ["frob"],
        ["--nope"],
        ["schema", "nope"],
        ["schema", "event", "nope"],
        ["schema", "mode", "nope"],
        ["events", "nope"],
        ["run", "--web.listen-address", "nowhere"],
    ],
)
def test_command_line_ends_with_2_when_it_is_used_wrongly(call: Call, config: Path, arguments: list[str]) -> None:
    result = call(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Traceback" not in result.err
    assert "Error: " in result.err


def test_run_ends_with_one_line_when_its_address_is_in_use(program: Run, config: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = program("run", "--web.listen-address", address)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"reservd: cannot listen on {address}: Address already in use\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_says_where_it_serves_and_ends_well_when_it_is_told_to(config: Path, number: signal.Signals) -> None:
    with ReservdProcess(config) as daemon:
        wait_until(lambda: "reservd_reserve_status" in daemon.get("/metrics"), "the daemon to own its store")
        assert daemon.log().startswith("reservd watches 4 modes; stop it with Ctrl-C.\n")
        assert daemon.stop(number) == 0
        assert "Traceback" not in daemon.log()


def test_run_logs_the_warnings_of_its_configuration(config: Path) -> None:
    text = MAIN.replace("event_sinks:\n", "event_sinks:\n  spare: {plugin: log}\n")
    config.write_text(text)
    with ReservdProcess(config) as daemon:
        records: list[dict[str, Any]] = [
            json.loads(line) for line in daemon.log().splitlines() if line.startswith("{") and "config.warned" in line
        ]
    (record,) = records
    assert record["warning"].endswith("event_sinks.spare: no mode names it")
