"""Fixtures that all tests share, and the line that says what was left out."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.chain import Anvil, require_anvil
from support.proxy import RpcProxy

collect_ignore = ["outsider"]  # a package of its own, whose tests run where it is installed


@pytest.fixture
def chain() -> Iterator[Anvil]:
    """A fresh Ethereum node, stopped after the test."""
    require_anvil()
    with Anvil() as node:
        yield node


@pytest.fixture
async def proxy(chain: Anvil) -> AsyncIterator[RpcProxy]:
    """What stands before the node of `chain`, counts requests and misbehaves when told to."""
    async with RpcProxy(chain.url) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line which tests were left out, and what would bring them back."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        reasons = sorted({report.longrepr[2].removeprefix("Skipped: ") for report in skipped})
        terminalreporter.write_line(f"{len(skipped)} tests were left out: {'; '.join(reasons)}", yellow=True)
