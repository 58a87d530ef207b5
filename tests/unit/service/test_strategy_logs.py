"""What a strategy's own program logs on an error, if it does not configure structlog."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import structlog

from reservd import BaseStrategyManager, ReserveManager
from reservd.plugin.testing import example_event

SECRET = "s3cret-signing-key"


class Ledger:
    """The equity and the venue of the strategy's platform."""

    def calculate_equity(self, share_class: str) -> Decimal:
        return Decimal(1000)

    def get_balances(self) -> dict[str, Decimal]:
        return {"USDT": Decimal(10)}


class BreakingStrategy(BaseStrategyManager):
    async def request_fast_execution(self) -> None:
        signing_key = SECRET
        raise RuntimeError(f"the market is closed, {len(signing_key)}")

    request_emergency_execution = request_fast_execution


@pytest.fixture
def untouched_structlog() -> Iterator[None]:
    """Logging as in a program that configures nothing."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("untouched_structlog")
async def test_log_tells_where_a_strategy_broke_and_no_local_variable(capsys: pytest.CaptureFixture[str]) -> None:
    manager = ReserveManager(Ledger(), {"treasury": Ledger()})
    config = {"mode": "demo", "share_class": "USDT", "asset": "USDT", "reserve_ratio": "0.05"}
    strategy = BreakingStrategy(config, None, None, None, manager)
    await strategy.handle_reserve_event(example_event().data)
    await strategy.idle()
    told = capsys.readouterr().out
    assert "execution.failed" in told
    assert "RuntimeError: the market is closed" in told
    assert "in request_fast_execution" in told
    assert SECRET not in told
