"""Configurations as files."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reservd.config.load import Config, load_config
from reservd.errors import ConfigError

MAIN = """\
modes: modes/*.yaml
balance_sources:
  vault: {plugin: static, options: {balances: [{asset: USDT, amount: 100}]}}
equity_sources:
  nav: {plugin: static, options: {amount: 1000}}
event_sinks:
  ops: {plugin: log}
"""
MODE = """\
mode: pure_lending
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [vault]
reserve_equity_source: nav
reserve_event_sinks: [ops]
"""


class Folder:
    """A folder with a configuration that is valid until a test changes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("reservd.yaml", MAIN)
        self.write("modes/a.yaml", MODE)

    def write(self, name: str, text: str | bytes) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)

    def main(self, old: str = "", new: str = "", *, more: str = "") -> None:
        """Change keys of the main file, or add some."""
        assert old in MAIN
        self.write("reservd.yaml", MAIN.replace(old, new) + more if old else MAIN + more)

    def mode(self, old: str = "", new: str = "", *, more: str = "") -> None:
        """Change keys of the mode file, or add some."""
        assert old in MODE
        self.write("modes/a.yaml", MODE.replace(old, new) + more if old else MODE + more)

    def load(self, environ: Mapping[str, str] | None = None) -> Config:
        return load_config(self.path / "reservd.yaml", environ=environ or {})

    def problems(self, environ: Mapping[str, str] | None = None) -> list[str]:
        """Return the problems, without the path of the folder."""
        with pytest.raises(ConfigError) as raised:
            self.load(environ)
        return [line.replace(f"{self.path}/", "") for line in raised.value.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
