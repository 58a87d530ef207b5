"""Deployment: the systemd unit and the container image."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from reservd.config.settings import DEFAULT_LISTEN_ADDRESS
from reservd.store.access import open_database
from support.require import missing

_ROOT = Path(__file__).parents[2]
_UNIT = _ROOT / "deploy" / "systemd" / "reservd.service"
_DOCKERFILE = _ROOT / "deploy" / "docker" / "Dockerfile"
_PROMETHEUS = _ROOT / "deploy" / "prometheus" / "prometheus.yaml"
_README = (_ROOT / "deploy" / "README.md").read_text()
_STATE = "/var/lib/reservd"


def _systemd_analyze(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze") or missing("systemd-analyze", how="make setup-system installs it")
    return subprocess.run([program, *map(str, arguments)], check=False, capture_output=True, text=True)


def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    """Unknown keys are only warnings, so there must be no output at all."""
    program = re.search(r"^ExecStart=(\S+)", _UNIT.read_text(), re.MULTILINE)
    assert program is not None
    unit = tmp_path / _UNIT.name
    unit.write_text(_UNIT.read_text().replace(program[1], sys.executable))  # systemd requires it to exist
    result = _systemd_analyze("verify", unit)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_unit_exposes_little_when_judged_by_systemd() -> None:
    """Fails if the exposure is above 2.0 of 10."""
    result = _systemd_analyze("security", "--offline=true", "--threshold=20", _UNIT)
    assert result.returncode == 0, result.stdout + result.stderr


def test_dockerfile_is_clean_when_linted() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, _DOCKERFILE], check=False, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_image_gets_all_that_its_dockerfile_copies() -> None:
    """`.dockerignore` excludes everything that it does not name."""
    allowed = {line[1:] for line in (_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for line in re.findall(r"^COPY (?!--from)(.+)$", _DOCKERFILE.read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == allowed
    assert all((_ROOT / path).exists() for path in copied)


def test_deployments_use_the_default_port() -> None:
    port = DEFAULT_LISTEN_ADDRESS.partition(":")[2]
    assert {f"EXPOSE {port}", f"0.0.0.0:{port}", f"127.0.0.1:{port}"} <= _found(_DOCKERFILE, r"EXPOSE \d+|[\d.]+:\d+")
    assert _found(_PROMETHEUS, r"127\.0\.0\.1:\d+") == {DEFAULT_LISTEN_ADDRESS}


def test_deployments_keep_the_store_where_the_readme_backs_it_up() -> None:
    """Both name a folder of the daemon's own in $STATE_DIRECTORY; systemd does so by StateDirectory."""
    assert "StateDirectory=reservd\n" in _UNIT.read_text()
    assert f"STATE_DIRECTORY={_STATE}" in _DOCKERFILE.read_text()
    assert _found(_DOCKERFILE, r"VOLUME (.+)") == {_STATE}
    store = open_database("", Path("/etc/reservd"), {"STATE_DIRECTORY": _STATE})
    assert f"sqlite3 {store.path} " in _README


def test_ci_scripts_can_be_run() -> None:
    for script in (_ROOT / ".ci" / "run", _ROOT / ".ci" / "setup-system"):
        assert os.access(script, os.X_OK)
        subprocess.run(["bash", "-n", script], check=True)


def _found(file: Path, pattern: str) -> set[str]:
    return set(re.findall(pattern, file.read_text()))
