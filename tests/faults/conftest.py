"""Fixtures shared by the scenarios with real daemons."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nursery import Nursery


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    """Starts daemons; they write to the file `log` in the test's folder."""
    with Nursery(tmp_path / "log") as running:
        yield running
