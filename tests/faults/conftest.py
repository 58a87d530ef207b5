"""What scenarios with real daemons share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nursery import Nursery


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start daemons that do not measure their coverage."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Starts daemons, whose log is `log` in the test's folder."""
    with Nursery(tmp_path / "log") as running:
        yield running
