"""The commands in the READMEs are executed."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.daemon import ReservdProcess
from support.prometheus import require_promtool

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")

NOT_RUN = {
    "systemctl": "needs systemd as the first process",
    "journalctl": "needs systemd as the first process",
    "curl": "needs a running daemon",
    "sudo": "changes the machine",
    "install": "changes the machine",
    "buildah": "needs a base image",
    "docker": "needs a container engine",
    "git": "needs the remote repository",
}
"""Programs whose commands are not executed, and the reasons."""


def commands() -> list[tuple[str, str]]:
    """Return every command in the shell blocks of every README, with the path of the README."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    found = []
    for name in listed:
        for block in _BLOCK.findall((ROOT / name).read_text()):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(name, line.strip()) for line in lines if shlex.split(line, comments=True)]
    return found


def test_readmes_are_found() -> None:
    assert any(line.startswith("make run") for name, line in commands() if name == "README.md")


def test_scenarios_of_faults_are_all_listed() -> None:
    text = (ROOT / "tests" / "README.md").read_text().partition("## Faults")[2]
    listed = re.findall(r"`(test_\w+\.py)`", "".join(line for line in text.splitlines() if line.startswith("|")))
    assert sorted(listed) == sorted(path.name for path in (ROOT / "tests" / "faults").glob("test_*.py"))


@pytest.mark.parametrize(("readme", "command"), commands())
def test_command_works_as_the_readme_says(readme: str, command: str) -> None:
    words = shlex.split(command, comments=True)
    program = next(word for word in words if not _ASSIGNMENT.match(word))
    if program in NOT_RUN:
        return
    if program == "make":
        targets = _TARGET.findall((ROOT / "Makefile").read_text())
        wanted = [word for word in words[1:] if not _ASSIGNMENT.match(word)]
        assert set(wanted) <= set(targets), f"{readme} names a target that the Makefile does not have"
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[(.*?)\]", command)) <= extras.keys()
    elif words[:2] == ["reservd", "run"]:
        with ReservdProcess(ROOT / words[words.index("--config") + 1]) as daemon:
            assert daemon.stop() == 0
    else:
        if program == "promtool":
            require_promtool()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-euc", command],
            cwd=ROOT,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"{readme}: {command}\n{done.stdout}{done.stderr}"
