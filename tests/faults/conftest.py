"""What scenarios with real daemons share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nursery import Nursery


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Starts daemons, whose log is `log` in the test's folder."""
    with Nursery(tmp_path / "log") as running:
        yield running
