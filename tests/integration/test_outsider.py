"""A third-party plugin package: built, installed, found and used, without privileges or a change of reservd."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import PROGRAM, ReservdProcess
from support.polling import wait_until

PACKAGE = Path(__file__).parents[1] / "outsider"

MAIN = """\
modes: mode.yaml
web: {listen_address: 127.0.0.1:0}
equity_sources:
  nav: {plugin: static, options: {amount: 1000000}}
"""
MODE = """\
mode: pure_lending
share_class: USDT
reserve_ratio: 0.05
reserve_monitoring_interval: 1
reserve_balance_sources: [treasury_ledger/treasury]
reserve_equity_source: nav
reserve_event_sinks: [board]
"""
LEDGER = "account,asset,amount\ntreasury,USDT,40000.25\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, as its author has it."""
    copy = tmp_path_factory.mktemp("author") / "reservd-example"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return copy


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip installed it."""
    folder = tmp_path_factory.mktemp("site-packages")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--target", folder]
    subprocess.run([*pip, *alone, source], check=True)
    return folder


@pytest.fixture
def found(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every process that the test starts find the package."""
    monkeypatch.setenv("PYTHONPATH", str(installed))


@pytest.fixture
def config(installed: Path, tmp_path: Path) -> Path:
    """The package's own sample, completed to a whole configuration."""
    sample = (installed / "reservd_example" / "sample.yaml").read_text()
    (tmp_path / "reservd.yaml").write_text(MAIN + sample)
    (tmp_path / "mode.yaml").write_text(MODE)
    (tmp_path / "ledger.csv").write_text(LEDGER)
    return tmp_path / "reservd.yaml"


def reservd(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *map(str, arguments)], check=False, capture_output=True, text=True)


def test_package_is_not_found_when_it_is_not_installed(config: Path) -> None:
    result = reservd("check-config", "-c", config)
    assert result.returncode == 1
    assert "no plugin 'example' is installed" in result.stderr


@pytest.mark.usefixtures("found")
def test_plugins_lists_the_package() -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(reservd("plugins", "--json").stdout)}
    assert listed["example"] == {
        "name": "example",
        "distribution": "reservd-example 1.0.0",
        "state": "usable",
        "kinds": ["balance_sources", "event_sinks"],
        "error": "",
    }


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("amount", "status", "code"),
    [
        ("50000.25", "adequate", 0),
        ("40000.25", "low", 1),
        ("10", "critical", 2),
        ("much", "unknown", 3),
        ("", "unknown", 3),
    ],
)
def test_check_uses_the_package(config: Path, tmp_path: Path, amount: str, status: str, code: int) -> None:
    (tmp_path / "ledger.csv").write_text(f"account,asset,amount\ntreasury,USDT,{amount}\n")
    result = reservd("check", "--json", "-c", config)
    assert (result.returncode, result.stderr) == (code, "")
    (snapshot,) = json.loads(result.stdout)
    assert (snapshot["status"], snapshot["reserve_balance"]) == (status, amount if code < 3 else None)


@pytest.mark.usefixtures("found")
def test_check_says_why_when_the_package_cannot_read(config: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.csv").unlink()
    result = reservd("check", "-c", config)
    assert result.returncode == 3
    assert "pure_lending: treasury_ledger/treasury: " in result.stdout
    assert "No such file or directory" in result.stdout


@pytest.mark.usefixtures("found")
def test_options_of_the_package_are_checked_like_any_other(config: Path) -> None:
    config.write_text(config.read_text().replace("ledger: ledger.csv", "legder: ledger.csv"))
    result = reservd("check-config", "-c", config)
    assert result.returncode == 1
    line = "balance_sources.treasury_ledger.options.legder: unknown key; did you mean ledger?"
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.usefixtures("found")
def test_package_is_not_imported_when_no_instance_is_of_it(config: Path, tmp_path: Path) -> None:
    vault = "balance_sources: {vault: {plugin: static, options: {balances: [{asset: USDT, amount: 1}]}}}\n"
    config.write_text(MAIN + vault)
    (tmp_path / "mode.yaml").write_text(MODE.replace("treasury_ledger/treasury", "vault").replace("[board]", "[]"))
    code = (
        "import sys; from pathlib import Path; from reservd.config.load import load_config;"
        " load_config(Path(sys.argv[1]));"
        " print(sorted(name for name in sys.modules if name.startswith('reservd_') and '.' not in name))"
    )
    result = subprocess.run([sys.executable, "-c", code, config], check=True, capture_output=True, text=True)
    assert result.stdout == "['reservd_static']\n"


@pytest.mark.usefixtures("found")
def test_daemon_uses_the_package(config: Path, tmp_path: Path) -> None:
    board = tmp_path / "board" / "pure_lending.txt"
    with ReservdProcess(config):
        wait_until(board.exists, "the board")
        assert " low: " in board.read_text()


@pytest.mark.usefixtures("found")
def test_schema_has_the_options_of_the_package() -> None:
    assert "The CSV file, with the columns `account`, `asset` and `amount`." in reservd("schema").stdout


@pytest.mark.usefixtures("found")
def test_package_passes_its_own_tests(source: Path) -> None:
    """Including the contract tests that reservd offers to authors."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=source,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_package_uses_only_what_plugins_may_import() -> None:
    texts = [file.read_text() for file in (PACKAGE / "src").rglob("*.py")]
    imports = {line.split()[1] for text in texts for line in text.splitlines() if line.startswith(("from ", "import "))}
    assert {name for name in imports if name.partition(".")[0] == "reservd"} == {"reservd.plugin"}
