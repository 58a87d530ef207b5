"""A plugin from outside: built, installed, listed and used as its author would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import PROGRAM

OUTSIDER = Path(__file__).parents[1] / "outsider"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin's distribution in it, beside those of the environment."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, OUTSIDER], check=True, timeout=110)
    return target


def reservd(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program with the plugin installed."""
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def test_plugin_of_an_outsider_is_listed_with_its_distribution(installed: Path) -> None:
    found = {plugin["name"]: plugin for plugin in json.loads(reservd(installed, "plugins", "--json").stdout)}
    tide = found["tide"]
    assert (tide["distribution"], tide["error"]) == ("reservd-tide 1.2.3", "")
    assert list(tide["kinds"]) == ["balance_sources"]
    assert "evm" in found


def test_plugin_of_an_outsider_is_read_when_the_configuration_names_it(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "mode: m\nshare_class: USDT\nreserve_ratio: 0.1\n"
        "reserve_balance_sources: [harbour]\nreserve_equity_source: nav\n"
    )
    config = tmp_path / "reservd.yaml"
    config.write_text(
        "modes: m.yaml\n"
        "balance_sources: {harbour: {plugin: tide, options: {path: level.txt, asset: USDT}}}\n"
        "equity_sources: {nav: {plugin: static, options: {amount: 1000}}}\n"
    )
    assert reservd(installed, "check", "-c", config).returncode == 3
    for level, code in (("110.5", 0), ("70", 1), ("10", 2), ("high", 3)):
        (tmp_path / "level.txt").write_text(level)
        found = reservd(installed, "check", "-c", config, "--json")
        assert found.returncode == code, found.stderr
    (tmp_path / "level.txt").write_text("110.5")
    (snapshot,) = json.loads(reservd(installed, "check", "-c", config, "--json").stdout)
    assert snapshot["reserve_balance"] == "110.5"
    wrong = config.read_text().replace("asset: USDT}", "asset: USDT, depth: 3}")
    config.write_text(wrong)
    refused = reservd(installed, "check-config", "-c", config)
    assert refused.returncode == 1
    assert "balance_sources.harbour.options.depth: unknown key" in refused.stderr
    assert reservd(installed, "plugins").returncode == 0


def test_only_named_plugins_are_imported_when_a_configuration_is_checked(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "mode: m\nshare_class: USDT\nreserve_ratio: 0.1\nreserve_balance_sources: [a]\nreserve_equity_source: nav\n"
    )
    (tmp_path / "reservd.yaml").write_text(
        "modes: m.yaml\n"
        "balance_sources: {a: {plugin: static, options: {balances: [{asset: USDT, amount: 1}]}}}\n"
        "equity_sources: {nav: {plugin: static, options: {amount: 1000}}}\n"
    )
    program = (
        "import sys\nfrom pathlib import Path\nfrom reservd.config.load import load_config\n"
        f"load_config(Path({str(tmp_path / 'reservd.yaml')!r}))\n"
        "print(sorted(name for name in sys.modules if name.startswith('reservd_') and '.' not in name))"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == "['reservd_static']", found.stderr
