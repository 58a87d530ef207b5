"""The `sql` sources, on a real PostgreSQL and real SQLite files."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from reservd.plugin import FailureReason, SourceError
from reservd.plugin.testing import BalanceSourceContract, EquitySourceContract
from reservd_sql.balances import SqlBalanceSource
from reservd_sql.equity import SqlEquitySource
from support.polling import wait_until
from support.postgres import Postgres

R = FailureReason
ALL = "SELECT account, asset, amount, observed_at FROM balance"
NAV = "SELECT amount, currency, observed_at FROM nav WHERE mode = :mode"
AT = "2026-03-01T12:00:00+00:00"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TABLES = [
    "CREATE TABLE balance (account text, asset text, amount numeric, observed_at timestamptz)",
    "INSERT INTO balance VALUES ('ops', 'USDT', 40000.250000000000000001, '2026-03-01 12:00Z')",
    "INSERT INTO balance VALUES ('desk', 'USDT', -3, '2026-03-01 12:00Z')",
    "CREATE TABLE nav (mode text, amount numeric, currency text, observed_at timestamptz)",
    "INSERT INTO nav VALUES ('demo', 1000000.01, 'USDT', '2026-03-01 12:00Z'), ('eth', 5, 'ETH', now())",
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with Postgres() as running:
        running.execute("ledger", *TABLES)
        running.execute("ledger", "CREATE ROLE teller LOGIN", "GRANT SELECT ON balance, nav TO teller")
        yield running


@pytest.fixture
def url(postgres: Postgres) -> str:
    """The ledger in PostgreSQL, as a role that may write."""
    return postgres.url("ledger")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A ledger in SQLite, which has no exact decimals: amounts are text."""
    path = tmp_path / "a ledger 100%.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE balance (account, asset, amount, observed_at)")
        rows = [("ops", "USDT", "40000.250000000000000001", AT), ("desk", "USDT", -3, 1_772_366_400)]
        connection.executemany("INSERT INTO balance VALUES (?, ?, ?, ?)", rows)
        connection.execute("CREATE TABLE nav (mode, amount, currency, observed_at)")
        connection.execute("INSERT INTO nav VALUES ('demo', '1000000.01', 'USDT', ?)", (AT,))
        connection.commit()
    return path


@pytest.fixture(params=["postgresql", "sqlite"])
def ledger(request: pytest.FixtureRequest) -> str:
    """The URL of the ledger, in each of the databases."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('file')}"
    return str(request.getfixturevalue("url"))


ACCOUNTS = {"ops": {"assets": ["USDT"]}, "desk": {"assets": ["USDT", "ETH"]}}


class TestSqlBalanceSource(BalanceSourceContract):
    plugin_class = SqlBalanceSource

    @pytest.fixture
    def options(self, ledger: str) -> dict[str, Any]:
        return {"url": ledger, "statement": ALL, "accounts": ACCOUNTS}


class TestSqlEquitySource(EquitySourceContract):
    plugin_class = SqlEquitySource

    @pytest.fixture
    def options(self, ledger: str) -> dict[str, Any]:
        return {"url": ledger, "statement": NAV}


async def read(build: Any, url: str, statement: str = ALL, **options: Any) -> Any:
    options = {"accounts": {"ops": {"assets": ["USDT"]}}, **options}
    async with build(SqlBalanceSource, {"url": url, "statement": statement, **options}) as source:
        return await source.fetch_balances()


async def equity(build: Any, url: str, statement: str = NAV, mode: str = "demo", **options: Any) -> Any:
    async with build(SqlEquitySource, {"url": url, "statement": statement, **options}) as source:
        return await source.fetch_equity(mode, "USDT")


async def refusal(build: Any, url: str, statement: str, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as failure:
        await read(build, url, statement, **options)
    return failure.value


async def test_balances_are_exact(build: Any, ledger: str) -> None:
    reading = await read(build, ledger, accounts=ACCOUNTS)
    assert [(each.account, each.amount, each.observed_at) for each in reading.balances] == [
        ("ops", Decimal("40000.250000000000000001"), NOON),
        ("desk", Decimal(-3), NOON),
    ]
    (failure,) = reading.failures
    assert (failure.account, failure.asset, failure.reason) == ("desk", "ETH", R.INVALID_DATA)
    assert failure.detail == "ETH: must have one row, got none"


async def test_rows_of_other_accounts_are_left_alone(build: Any, ledger: str) -> None:
    reading = await read(build, ledger, accounts={"mine": {"address": "ops", "assets": ["USDT"]}})
    assert [each.account for each in reading.balances] == ["mine"]
    assert not reading.failures


async def test_equity_is_that_of_the_mode(build: Any, ledger: str) -> None:
    got = await equity(build, ledger)
    assert (got.amount, got.currency, got.observed_at, got.complete) == (Decimal("1000000.01"), "USDT", NOON, True)


@pytest.mark.parametrize("net", [True, False])
async def test_equity_is_net_of_withdrawals_when_the_option_says_so(build: Any, ledger: str, net: bool) -> None:
    assert (await equity(build, ledger, net_of_withdrawals=net)).net_of_withdrawals is net


async def test_mode_is_bound_and_never_part_of_the_statement(build: Any, ledger: str) -> None:
    with pytest.raises(SourceError, match="must give one row, gave none"):
        await equity(build, ledger, mode="x' OR 'a' = 'a")


async def test_currency_is_bound(build: Any, ledger: str) -> None:
    statement = "SELECT sum(CAST(amount AS integer)) AS amount, :currency AS currency, min(observed_at) AS observed_at "
    statement += "FROM nav WHERE currency = :currency"
    source = build(SqlEquitySource, {"url": ledger, "statement": statement})
    assert source.by_share_class
    async with source:
        assert (await source.fetch_equity("USDT", "USDT")).amount == 1_000_000


@pytest.mark.parametrize(
    ("statement", "detail"),
    [
        ("SELECT 1 AS amount, now() AS observed_at FROM nav", "the statement must give one row, gave 2"),
        ("SELECT NULL AS amount, now() AS observed_at", "amount is NULL"),
        ("SELECT 1 AS amount, NULL AS observed_at", "observed_at is NULL"),
        ("SELECT 1 AS amount, 'ETH' AS currency, now() AS observed_at", "currency must be USDT"),
        ("SELECT 1 AS amount, NULL AS currency, now() AS observed_at", "currency must be USDT"),
        ("SELECT 1 AS amount", "the statement must give the column observed_at"),
        ("SELECT now() AS observed_at", "the statement must give the column amount"),
        ("SELECT 1 AS amount, 2 AS amount, now() AS observed_at", "the statement must give each column once"),
    ],
)
async def test_equity_fails_when_the_row_does_not_tell_it(build: Any, url: str, statement: str, detail: str) -> None:
    with pytest.raises(SourceError) as failure:
        await equity(build, url, statement)
    assert (failure.value.reason, failure.value.detail) == (R.INVALID_DATA, detail)


@pytest.mark.parametrize(
    ("amount", "problem"),
    [
        ("NULL", "amount is NULL"),
        ("1.5::float8", "amount is a float, which has lost digits"),
        ("'NaN'::numeric", "amount must be a number, got one that is not finite"),
        ("'Infinity'::numeric", "amount must be a number, got one that is not finite"),
        ("1e61", "amount must be a number, got one that is not finite or out of range"),
        ("true", "amount must be a number, got a boolean"),
        ("'1,000'", "amount must be a number, got text that is not one"),
        ("now()", "amount must be a number, got datetime"),
        ("ARRAY[1]", "amount must be a number, got list"),
    ],
)
async def test_balance_is_a_failure_when_its_amount_cannot_be_believed(
    build: Any, url: str, amount: str, problem: str
) -> None:
    statement = f"SELECT 'ops' AS account, 'USDT' AS asset, {amount} AS amount, now() AS observed_at"
    reading = await read(build, url, statement)
    assert not reading.balances
    (failure,) = reading.failures
    assert (failure.account, failure.asset, failure.reason) == ("ops", "USDT", R.INVALID_DATA)
    assert failure.detail.startswith(f"USDT: {problem}")


async def test_balance_is_a_failure_when_two_rows_claim_it(build: Any, ledger: str) -> None:
    reading = await read(build, ledger, f"{ALL} UNION ALL {ALL}")
    assert not reading.balances
    assert reading.failures[0].detail == "USDT: must have one row, got 2"


async def test_locked_is_read_when_the_statement_gives_it(build: Any, ledger: str) -> None:
    reading = await read(build, ledger, ALL.replace("amount", "amount, 12 AS locked", 1))
    assert reading.balances[0].locked == 12
    assert (await read(build, ledger, ALL)).balances[0].locked is None
    reading = await read(build, ledger, ALL.replace("amount", "amount, NULL AS locked", 1))
    assert reading.failures[0].detail == "USDT: locked is NULL"


async def test_float_is_taken_by_its_shortest_text_when_allowed(build: Any, url: str, file: Path) -> None:
    statement = "SELECT 'ops' AS account, 'USDT' AS asset, {} AS amount, 1772366400 AS observed_at"
    for where, number in ((url, "0.1::float8"), (f"sqlite:///{file}", "0.1")):
        reading = await read(build, where, statement.format(number), allow_float=True)
        assert reading.balances[0].amount == Decimal("0.1")
        assert (await read(build, where, statement.format(number))).failures


async def test_naive_time_is_utc_only_when_the_option_says_so(build: Any, url: str, file: Path) -> None:
    statement = "SELECT 'ops' AS account, 'USDT' AS asset, 1 AS amount, {} AS observed_at"
    for where, time in (
        (url, "timestamp '2026-03-01 12:00:00'"),
        (f"sqlite:///{file}", "datetime('2026-03-01T12:00:00')"),
    ):
        reading = await read(build, where, statement.format(time))
        assert reading.failures[0].detail.startswith("USDT: observed_at has no time zone")
        reading = await read(build, where, statement.format(time), naive_is_utc=True)
        assert reading.balances[0].observed_at == NOON


WRITES = [
    "INSERT INTO nav VALUES ('x', 1, 'USDT', NULL)",
    "DELETE FROM balance",
    "UPDATE balance SET amount = 0",
    "DROP TABLE balance",
    "CREATE TABLE mine (x int)",
]


@pytest.mark.parametrize("statement", [*WRITES, *(f"{write} RETURNING *" for write in WRITES[:3])])
async def test_statement_that_writes_is_refused(build: Any, ledger: str, statement: str) -> None:
    assert (await refusal(build, ledger, statement)).reason is R.REJECTED
    assert len((await read(build, ledger, accounts=ACCOUNTS)).balances) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "WITH gone AS (DELETE FROM balance RETURNING *) SELECT * FROM gone",
        "SELECT lo_create(0)",
        "SELECT nextval('counter')",
        "SELECT set_config('transaction_read_only', 'off', true), pg_notify('a', 'b')",
        "SET TRANSACTION READ WRITE",
        "COMMIT",
        "COPY balance FROM '/etc/hostname'",
        "SELECT * INTO mine FROM balance",
        "SELECT * FROM balance FOR UPDATE",
    ],
)
async def test_postgresql_refuses_what_only_looks_like_reading(
    build: Any, postgres: Postgres, url: str, statement: str
) -> None:
    postgres.execute("ledger", "CREATE SEQUENCE IF NOT EXISTS counter")
    failure = await refusal(build, url, statement)
    assert failure.reason is R.REJECTED
    assert postgres.query("ledger", "SELECT count(*) FROM balance") == [(2,)]


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = WAL",
        "ATTACH DATABASE 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "BEGIN IMMEDIATE",
    ],
)
async def test_sqlite_changes_nothing_whatever_it_is_told(
    build: Any, file: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    before = snapshot(file.parent)
    assert (await refusal(build, f"sqlite:///{file}", statement)).reason is R.REJECTED
    assert snapshot(file.parent) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("end", ["", ";", " ;\n", "-- that is ; all", "/* ; */"])
async def test_semicolons_that_end_no_statement_are_let_pass(build: Any, ledger: str, end: str) -> None:
    assert (await read(build, ledger, f"{ALL} WHERE asset <> ';' {end}")).balances


async def test_postgresql_refuses_several_statements_that_its_own_syntax_hides(build: Any, url: str) -> None:
    """A lexer that does not know E'' strings sees one statement here."""
    hidden = r"SELECT E'\'' AS account; DELETE FROM balance; --'"
    failure = await refusal(build, url, hidden)
    assert failure.reason is R.REJECTED
    assert len((await read(build, url, accounts=ACCOUNTS)).balances) == 2


async def test_reading_is_bounded(build: Any, url: str) -> None:
    series = "SELECT n AS account, '' AS asset, 1 AS amount, now() AS observed_at FROM generate_series(1, {}) n"
    assert (await read(build, url, series.format(10_000))).failures
    failure = await refusal(build, url, series.format(10_001))
    assert (failure.reason, failure.detail) == (R.INVALID_DATA, "the statement gives more than 10000 rows")


SLOW = {
    "postgresql": "SELECT CASE WHEN :mode = 'slow' THEN pg_sleep(60) END, 1 AS amount, now() AS observed_at",
    "sqlite": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE :mode = 'slow') "
    "SELECT count(*) AS amount, 1772366400 AS observed_at FROM n",
}
"""Statements for the mode `slow` that take a minute, or never end."""


async def test_source_fails_in_time_when_the_statement_is_slow(build: Any, ledger: str) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(SourceError) as failure:
            await equity(build, ledger, SLOW[make_url(ledger).get_backend_name()], mode="slow", timeout=0.3)
    assert failure.value.reason is R.TIMEOUT


async def test_source_works_on_when_calls_were_cancelled(build: Any, ledger: str) -> None:
    """Each abandoned call must return its connection, or the sixth would be the last."""
    options = {"url": ledger, "statement": SLOW[make_url(ledger).get_backend_name()], "timeout": 60}
    async with build(SqlEquitySource, options) as source:
        await source.fetch_equity("quick", "USDT")
        calls = [asyncio.create_task(source.fetch_equity("slow", "USDT")) for _ in range(12)]
        await asyncio.sleep(0.2)
        for call in calls:
            call.cancel()
        async with asyncio.timeout(20):
            assert {type(outcome) for outcome in await asyncio.gather(*calls, return_exceptions=True)} == {
                asyncio.CancelledError
            }
            assert (await source.fetch_equity("quick", "USDT")).amount == 1


async def test_source_fails_while_the_server_is_down_and_recovers(build: Any, postgres: Postgres, url: str) -> None:
    options = {"url": url, "statement": ALL, "accounts": ACCOUNTS}
    async with build(SqlBalanceSource, options) as source:
        assert (await source.fetch_balances()).balances
        await asyncio.to_thread(postgres.stop)
        try:
            with pytest.raises(SourceError) as failure:
                await source.fetch_balances()
        finally:
            await asyncio.to_thread(postgres.start)
        assert (failure.value.reason, failure.value.detail) == (R.UNREACHABLE, "no connection to the database")
        assert (await source.fetch_balances()).balances


async def test_next_reading_succeeds_when_the_server_ended_the_connections(
    build: Any, postgres: Postgres, url: str
) -> None:
    connections = "FROM pg_stat_activity WHERE application_name = 'reservd'"

    def wait_until_gone() -> None:
        """Wait until the server has closed the connections that have ended, which takes a moment."""
        wait_until(lambda: not postgres.query("ledger", f"SELECT pid {connections}"), "no connection to be left")

    wait_until_gone()
    async with build(SqlBalanceSource, {"url": url, "statement": ALL, "accounts": ACCOUNTS}) as source:
        for _ in range(2):
            assert (await source.fetch_balances()).balances
            assert postgres.query("ledger", f"SELECT pg_terminate_backend(pid) {connections}") == [(True,)]
            wait_until_gone()


async def test_source_reads_the_new_file_when_the_old_one_was_replaced(build: Any, file: Path) -> None:
    options = {"url": f"sqlite:///{file}", "statement": ALL, "accounts": {"ops": {"assets": ["USDT"]}}}
    async with build(SqlBalanceSource, options) as source:
        await source.fetch_balances()
        other = file.with_suffix(".new")
        with closing(sqlite3.connect(other)) as connection:
            connection.execute(
                f"CREATE TABLE balance AS SELECT 'ops' account, 'USDT' asset, 7 amount, '{AT}' observed_at"
            )
            connection.commit()
        other.rename(file)
        assert (await source.fetch_balances()).balances[0].amount == 7


async def test_source_fails_when_the_file_is_locked(build: Any, file: Path) -> None:
    with closing(sqlite3.connect(file)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        failure = await refusal(build, f"sqlite:///{file}", ALL, timeout=0.3)
    assert failure.reason is R.TIMEOUT


@pytest.mark.parametrize(
    ("statement", "reason", "detail"),
    [
        ("SELECT * FROM no_such_table", R.REJECTED, "the database says SQLSTATE 42P01 (UndefinedTable)"),
        ("SELEKT 1", R.REJECTED, "the database says SQLSTATE 42601 (SyntaxError)"),
        ("SELECT 1 / 0 AS account", R.INVALID_DATA, "the database says SQLSTATE 22012 (DivisionByZero)"),
        ("SELECT 'infinity'::timestamptz AS account", R.INVALID_DATA, "the driver says DataError"),
    ],
)
async def test_failure_names_the_code_and_not_the_message(
    build: Any, url: str, statement: str, reason: R, detail: str
) -> None:
    failure = await refusal(build, url, statement)
    assert (failure.reason, failure.detail) == (reason, detail)


async def test_source_fails_when_the_role_may_not_read(build: Any, postgres: Postgres) -> None:
    assert (await read(build, postgres.url("ledger", user="teller"))).balances
    postgres.execute("ledger", "CREATE TABLE IF NOT EXISTS secret AS SELECT 1 AS x")
    failure = await refusal(build, postgres.url("ledger", user="teller"), "SELECT * FROM secret")
    assert (failure.reason, failure.detail) == (R.REJECTED, "the database says SQLSTATE 42501 (InsufficientPrivilege)")
    failure = await refusal(build, postgres.url("ledger", user="nobody"), ALL)
    assert failure.reason is R.UNREACHABLE
    assert "nobody" not in str(failure)


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (None, R.UNREACHABLE, "the database says SQLITE_CANTOPEN"),
        (b"not a database" * 100, R.INVALID_DATA, "the database says SQLITE_NOTADB"),
        (b"", R.REJECTED, "the database says SQLITE_ERROR"),
    ],
)
async def test_source_fails_when_the_file_is_no_ledger(
    build: Any, tmp_path: Path, content: bytes | None, reason: R, detail: str
) -> None:
    if content is not None:
        (tmp_path / "x.db").write_bytes(content)
    failure = await refusal(build, "sqlite:///x.db", ALL)
    assert (failure.reason, failure.detail) == (reason, detail)
    assert (tmp_path / "x.db").exists() is (content is not None)


async def test_relative_file_starts_at_the_folder_of_the_configuration(build: Any, file: Path) -> None:
    for spelling in ("sqlite", "sqlite+aiosqlite", "sqlite+pysqlite"):
        assert (await read(build, f"{spelling}:///{file.name}")).balances
