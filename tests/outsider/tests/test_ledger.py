"""The ledger fulfils the contract of balance sources, and reports what it could not read."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from reservd_example.ledger import LedgerConfig, LedgerSource

from reservd.plugin import FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract

LEDGER = "account,asset,amount\ntreasury,USDT,40000.25\ntreasury,ETH,3\n"


class TestLedgerSource(BalanceSourceContract):
    plugin_class = LedgerSource

    @pytest.fixture
    def options(self, tmp_path: Path) -> dict[str, Any]:
        (tmp_path / "ledger.csv").write_text(LEDGER)
        return {"ledger": "ledger.csv", "accounts": {"treasury": ["USDT", "ETH"]}}


@pytest.fixture
def source(tmp_path: Path, content: str | bytes | None) -> LedgerSource:
    """A source with this ledger; None is no ledger."""
    ledger = tmp_path / "ledger.csv"
    if content is not None:
        ledger.write_bytes(content.encode() if isinstance(content, str) else content)
    options = {"ledger": str(ledger), "accounts": {"treasury": ["USDT"]}}
    return LedgerSource("books", LedgerConfig.model_validate(options))


@pytest.mark.parametrize("content", [LEDGER])
async def test_balance_is_exact(source: LedgerSource) -> None:
    (balance,) = (await source.fetch_balances()).balances
    assert balance.amount == Decimal("40000.25")


@pytest.mark.parametrize(
    "content",
    [
        f"account,asset,amount\n{row}"
        for row in ("", "treasury,USDT,\n", "treasury,USDT,much\n", "treasury,USDT,1\ntreasury,USDT,1\n")
    ],
)
async def test_account_fails_when_it_is_not_there_once_with_a_number(source: LedgerSource) -> None:
    reading = await source.fetch_balances()
    assert list(reading.balances) == []
    assert [failure.reason for failure in reading.failures] == [FailureReason.INVALID_DATA]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, FailureReason.UNREACHABLE),
        ("", FailureReason.INVALID_DATA),
        ("name,sum\n", FailureReason.INVALID_DATA),
        (b"\xff\xfe", FailureReason.INVALID_DATA),
    ],
)
async def test_source_fails_when_there_is_no_ledger(source: LedgerSource, reason: FailureReason) -> None:
    with pytest.raises(SourceError) as raised:
        await source.fetch_balances()
    assert raised.value.reason is reason
