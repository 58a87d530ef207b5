"""Programs for the `command` plugin, written and observed by tests."""

import sys
from pathlib import Path

import psutil

from support.polling import wait_until


def sh(folder: Path, text: str, name: str = "program") -> str:
    """Write an executable shell script and return its path."""
    return _write(folder / name, f"#!/bin/sh\n{text}\n")


def python(folder: Path, text: str, name: str = "program") -> str:
    """Write an executable Python script and return its path."""
    return _write(folder / name, f"#!{sys.executable} -I\n{text}\n")


def has_begun(pid_file: Path) -> bool:
    """Whether a script has written its process id."""
    return pid_file.exists() and bool(pid_file.read_text())


def wait_until_gone(pid_file: Path) -> None:
    """Wait until the process whose id a script wrote has ended, and is not even a zombie."""
    pid = int(pid_file.read_text())
    wait_until(lambda: not psutil.pid_exists(pid), f"the end of process {pid}")


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)
