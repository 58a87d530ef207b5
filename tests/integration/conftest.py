"""Fixtures of the tests that run the whole daemon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reservd.cli import main
from support.commands import Command, Result, Store, write_config
from support.daemon import ReservdProcess
from support.prometheus import Prometheus, require_prometheus

_DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


@pytest.fixture(scope="session")
def prometheus_with_daemon() -> Iterator[Prometheus]:
    """A real Prometheus that scrapes a running daemon with the demo configuration."""
    require_prometheus()
    with ReservdProcess(_DEMO) as daemon, Prometheus([daemon.address]) as prometheus:
        yield prometheus


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in this process, with `reservd.yaml` in the folder of the test."""

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--config", str(tmp_path / "reservd.yaml")])
        printed = capsys.readouterr()
        return Result(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def store_config(tmp_path: Path, store_url: str) -> Path:
    """A configuration of two modes whose store does not exist or is empty."""
    return write_config(tmp_path, store_url)


@pytest.fixture
def store(store_config: Path, store_url: str) -> Store:
    """The store of that configuration, with a few events."""
    filled = Store(store_url)
    filled.fill()
    return filled
