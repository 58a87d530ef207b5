"""Fixtures of the tests that run the whole daemon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import ReservdProcess
from support.prometheus import Prometheus, require_prometheus

_DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"


@pytest.fixture(scope="session")
def prometheus_with_daemon() -> Iterator[Prometheus]:
    """A real Prometheus that scrapes a running daemon with the demo configuration."""
    require_prometheus()
    with ReservdProcess(_DEMO) as daemon, Prometheus([daemon.address]) as prometheus:
        yield prometheus
