"""The parts of the `sql` sources that need no database: valid options and valid values."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reservd.plugin import Account
from reservd_sql.balances import SqlBalanceSource
from reservd_sql.equity import SqlEquitySource
from reservd_sql.rows import RowProblem, amount_in, instant_in

ALL = "SELECT account, asset, amount, observed_at FROM balance"
NAV = "SELECT amount, currency, observed_at FROM nav WHERE mode = :mode"
ACCOUNTS = {"ops": {"assets": ["USDT"]}, "desk": {"assets": ["USDT", "ETH"]}}
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1; DELETE FROM balance",
        f"{ALL};{ALL};",
        "DELETE FROM balance; /* ; */ SELECT 1",
        "COMMIT; DELETE FROM balance",
        "SELECT ';'; SELECT 2",
        "SELECT 1) AS x; DELETE FROM balance; --",
    ],
)
def test_several_statements_are_refused_with_the_configuration(build: Any, statement: str) -> None:
    options = {"url": "sqlite:///x.db", "statement": statement, "accounts": ACCOUNTS}
    with pytest.raises(ValidationError, match="must be exactly one statement"):
        build(SqlBalanceSource, options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "mysql://jo:hidden-password@host/x"}, "must be a postgresql:// or sqlite:// URL"),
        ({"url": "postgresql+psycopg2://jo:hidden-password@host/x"}, "must be a postgresql:// or sqlite:// URL"),
        ({"url": "hidden-password"}, "must be a SQLAlchemy URL such as"),
        ({"url": "postgresql://jo:hidden-password@host:port/x"}, "must be a SQLAlchemy URL such as"),
        ({"url": "sqlite://"}, "must name a database file"),
        ({"url": "sqlite:///:memory:"}, "must name a database file"),
        ({"url": "sqlite:///file:x.db"}, "must name a database file"),
        ({"url": "sqlite:///x.db?mode=rwc"}, "must name a database file"),
        ({"statement": f"{ALL} WHERE account = :mode"}, "must bind no parameters: .* got :mode"),
        ({"statement": ""}, "statement"),
        ({"accounts": {}}, "accounts"),
        ({"accounts": {"a": {"assets": []}}}, "assets"),
        ({"accounts": {"a": {"assets": ["x"], "address": "b"}, "b": {"assets": ["x"]}}}, "'a' and 'b' are both 'b'"),
    ],
)
def test_config_is_refused_with_the_rule_it_breaks(build: Any, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message) as failure:
        build(SqlBalanceSource, {"url": "sqlite:///x.db", "statement": ALL, "accounts": ACCOUNTS, **changes})
    assert "hidden-password" not in str(failure.value)


def test_equity_statement_binds_mode_and_currency_only(build: Any) -> None:
    with pytest.raises(ValidationError, match="no parameters but :mode and :currency, got :moed"):
        build(SqlEquitySource, {"url": "sqlite:///x.db", "statement": "SELECT :moed"})
    source = build(
        SqlEquitySource, {"url": "sqlite:///x.db", "statement": r"SELECT ' \:x', '12:30', 1::int, :currency"}
    )
    assert source.by_share_class
    assert not build(SqlEquitySource, {"url": "sqlite:///x.db", "statement": NAV}).by_share_class


def test_url_is_read_from_a_file_and_never_shown(build: Any, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://jo:${PASSWORD}@host/x\n")
    options = {"url_file": "url", "statement": ALL, "accounts": ACCOUNTS}
    source = build(SqlBalanceSource, options, environ={"PASSWORD": "hidden-password"})
    assert source.config.url.get_secret_value() == "postgresql+psycopg://jo:hidden-password@host/x"
    assert "hidden-password" not in repr(source.config)


def test_accounts_are_known_by_venue_and_address(build: Any) -> None:
    accounts = {"ops": {"assets": ["USDT"]}, "desk": {"assets": ["USDT", "ETH"], "address": "sub-1"}}
    options = {"url": "sqlite:///x.db", "statement": ALL, "accounts": accounts}
    assert build(SqlBalanceSource, options, name="ledger").accounts == {
        "ops": Account("ops", "ledger", "ops", frozenset({"USDT"})),
        "desk": Account("desk", "ledger", "sub-1", frozenset({"USDT", "ETH"})),
    }
    assert build(SqlBalanceSource, {**options, "venue": "bank"}).accounts["ops"].venue == "bank"


@pytest.mark.parametrize(
    ("value", "meant"),
    [(5, 5), (Decimal("-1.50"), Decimal("-1.5")), ("0.1", Decimal("0.1"))],
)
def test_amount_keeps_every_digit(value: Any, meant: Any) -> None:
    assert amount_in(value, "amount", allow_float=False) == meant


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (NOON, NOON),
        (NOON.astimezone(timezone(timedelta(hours=5))), NOON),
        ("2026-03-01 12:00:00Z", NOON),
        ("2026-03-01T14:00:00.25+02:00", NOON + timedelta(seconds=0.25)),
        (1_772_366_400, NOON),
        (Decimal("1772366400.25"), NOON + timedelta(seconds=0.25)),
    ],
)
def test_instant_is_read_in_its_usual_spellings(value: Any, meant: datetime) -> None:
    assert instant_in(value, "observed_at", naive_is_utc=False) == meant


EDGE = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
"""A time that is out of range in UTC."""


@pytest.mark.parametrize(
    "value", [None, "", "soon", "2026-03-01", 0, 1_772_366_400_000, Decimal("NaN"), 1.5, True, NOON.date(), b"x", EDGE]
)
def test_instant_is_refused_when_it_leaves_room_for_doubt(value: Any) -> None:
    with pytest.raises(RowProblem, match="observed_at"):
        instant_in(value, "observed_at", naive_is_utc=False)
