"""`reservd check` beside a daemon's store: what is held for withdrawals does not count as reserve here either."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from reservd.reserve.holds import settle
from reservd.store.database import Database
from reservd.store.holds import save_holds
from reservd.store.schema import prepare
from support.commands import Command, Store, without_ages
from support.holds import make_hold

MAIN = """\
modes: mode.yaml
store: {{url: "{url}"}}
balance_sources:
  wallet: {{plugin: static, options: {{balances: [{{asset: USDT, amount: 1500}}]}}}}
equity_sources:
  nav: {{plugin: static, options: {{amount: 20000}}}}
"""
MODE = """\
mode: alpha
share_class: USDT
reserve_ratio: 0.05
reserve_balance_sources: [wallet]
reserve_equity_source: nav
"""


@pytest.fixture
def url(tmp_path: Path, store_url: str) -> str:
    """A mode with 1,500 and a target of 1,000, whose store does not exist yet."""
    (tmp_path / "reservd.yaml").write_text(MAIN.format(url=store_url))
    (tmp_path / "mode.yaml").write_text(MODE)
    return store_url


def promise(url: str, amount: int, *, paid: bool = False) -> None:
    """Store an accepted withdrawal, or one that has been paid."""
    now = datetime.now(UTC)
    hold = make_hold(1, amount, mode="alpha", at=now)

    async def save(database: Database) -> None:
        await prepare(database)
        async with database.write() as connection:
            await save_holds(connection, [settle(hold, now, paid_at=now) if paid else hold])

    Store(url).do(save)


def test_what_is_promised_to_withdrawals_is_no_reserve_when_it_is_checked(command: Command, url: str) -> None:
    """Otherwise it would be adequate here, but low in the daemon."""
    promise(url, 700)
    result = command("check", "--explain")
    assert result.code == 1
    assert result.err == ""
    lines = without_ages(line.strip() for line in result.out.splitlines())
    target = "965.00 USDT, 0.05 of the equity less 700.00 of accepted withdrawals"
    assert lines[:6] == [
        "alpha: low",
        "why       800 of 965 USDT is 0.829 of the target, below 1.0 (low); 165 USDT short",
        "equity    20,000.00 USDT from nav, 0 s old",
        f"target    {target}; low below 965.00, critical below 482.50",
        "reserve   800.00 USDT",
        "held      700.00 USDT for accepted withdrawals",
    ]


def test_what_was_paid_is_not_taken_off_a_later_reading(command: Command, url: str) -> None:
    promise(url, 700, paid=True)
    result = command("check")
    assert (result.code, result.rows[1][:4]) == (0, ["alpha", "adequate", "1,500.00", "1,000.00"])


def test_check_ends_with_3_when_the_store_does_not_tell_what_is_promised(
    command: Command, url: str, tmp_path: Path
) -> None:
    """The readings are shown nevertheless."""
    (tmp_path / "spoilt.db").write_text("no database")
    (tmp_path / "reservd.yaml").write_text(MAIN.format(url=f"sqlite:///{tmp_path}/spoilt.db"))
    result = command("check")
    assert result.code == 3
    assert result.rows[1][:3] == ["alpha", "adequate", "1,500.00"]
    assert result.err.startswith("the amount held for accepted withdrawals is not known: ")


def test_nothing_is_promised_when_no_daemon_made_a_store_yet(command: Command, url: str, tmp_path: Path) -> None:
    (tmp_path / "reservd.yaml").write_text(MAIN.format(url=f"sqlite:///{tmp_path}/absent.db"))
    result = command("check")
    assert (result.code, result.err) == (0, "")
    assert not (tmp_path / "absent.db").exists()
