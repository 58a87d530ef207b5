"""Distributions with plugins, as pip installs them."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = """
from datetime import UTC, datetime
from decimal import Decimal

from reservd.plugin import Balance, BalanceSource, PluginConfig, Reading, hookimpl


class Options(PluginConfig):
    \"\"\"No options.\"\"\"


class Source(BalanceSource[Options]):
    PLUGIN_NAME = "acme"
    Config = Options

    async def fetch_balances(self):
        return Reading([Balance("main", "USDT", Decimal(1), datetime.now(UTC))])


@hookimpl
def reservd_register_balance_sources():
    return [Source]
"""


class SitePackages:
    """A folder from which Python imports modules and distributions."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(
        self,
        code: str | None,
        *,
        name: str = "acme",
        module: str | None = None,
        distribution: str = "reservd-acme",
        metadata: str = "",
        entry_points: Mapping[str, str] | None = None,
    ) -> None:
        """Add a distribution with one module and its entry point.

        Args:
            code: The module's code; None for no module.
            name: The entry point's name.
            module: The module's name.
            distribution: The distribution's name.
            metadata: More lines of its METADATA.
            entry_points: All entry points, if there are several.
        """
        module = module or f"reservd_{name}"
        if code is not None:
            (self.path / f"{module}.py").write_text(code)
        info = self.path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        lines = [f"{key} = {value}" for key, value in (entry_points or {name: module}).items()]
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{metadata}")
        (info / "entry_points.txt").write_text("[reservd]\n" + "\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SitePackages]:
    """A folder of packages at the front of the import path, removed after the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield SitePackages(tmp_path)
    for module in set(sys.modules) - before:
        del sys.modules[module]


@pytest.fixture
def source_code() -> str:
    """A module that fulfils the contract: the balance source `acme`."""
    return SOURCE
