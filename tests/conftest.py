"""Fixtures that all tests share, and the summary line about skipped tests."""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, is_hypothesis_test, settings
from sqlalchemy.engine import make_url

from reservd.delivery import writer
from reservd.monitor import announcer
from reservd.service.replenishment import ledger
from reservd.service.withdrawals import journal as hold_journal
from reservd.store.database import Database, parse_url
from support.chain import Anvil, require_anvil
from support.postgres import Postgres
from support.proxy import RpcProxy

collect_ignore = ["outsider"]  # a separate package, whose tests run where it is installed

# The time to generate examples depends on the machine. In CI the examples are the same in every run: new ones may
# reveal an old defect, which must not block an unrelated change.
settings.register_profile(
    "reservd",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=os.environ.get("RESERVD_REQUIRE_ALL") == "1",
)
settings.load_profile("reservd")

FAULTS = Path(__file__).parent / "faults"
MEASURED = frozenset({"test_api.py", "test_api_writes.py", "test_daemon.py", "test_reload.py"})
"""Modules whose subprocesses are measured as well: some code runs only there."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure no coverage in properties, faults and tests that are marked as loads: they repeat what other tests cover.

    Measuring makes properties three times as slow.
    """
    for item in items:
        if FAULTS in item.path.parents or is_hypothesis_test(getattr(item, "obj", None)):
            item.add_marker("no_cover")


@pytest.fixture(scope="module", autouse=True)
def measured_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Measure the coverage of subprocesses, for a few modules only: it makes a daemon half as fast."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in MEASURED:
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        yield


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Restore the logging settings that a test changed, for instance by running a command in this process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(autouse=True)
def patient_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a manager that is closed wait longer for its callbacks: a busy machine may hold up their threads."""
    monkeypatch.setattr(announcer, "_DRAIN_SECONDS", 5.0)


@pytest.fixture
def chain() -> Iterator[Anvil]:
    """A fresh Ethereum node, stopped after the test."""
    require_anvil()
    with Anvil() as node:
        yield node


@pytest.fixture
def slow_chain() -> Iterator[Anvil]:
    """A node that mines a block per second, as public chains do; a balance is as old as its block."""
    require_anvil()
    with Anvil(block_time_seconds=1) as node:
        yield node


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[RpcProxy]:
    """A proxy in front of the node of `chain`, which counts requests and misbehaves on demand."""
    async with RpcProxy(chain.url) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server; every test takes a database of its own."""
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store, as in a configuration."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server: Postgres = request.getfixturevalue("postgres")
    return make_url(server.url()).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
async def database(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """An empty store, on SQLite and on PostgreSQL, that is not taken for gone while the machine is merely busy."""
    monkeypatch.setattr(writer, "_FAIL_OPEN_AFTER_SECONDS", 20.0)
    monkeypatch.setattr(ledger, "_PATIENCE_SECONDS", 20.0)
    monkeypatch.setattr(hold_journal, "_PATIENCE_SECONDS", 240.0)
    opened = Database(parse_url(store_url, Path()))
    yield opened
    await opened.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report in one line which tests were skipped, and how to install what they need."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
        terminalreporter.write_line(f"{len(skipped)} tests were left out: {'; '.join(reasons)}", yellow=True)
