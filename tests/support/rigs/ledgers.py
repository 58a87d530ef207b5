"""A source that reads a database which another program locks, damages, or fills with invalid data."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import psycopg
from sqlalchemy import make_url

from reservd_sql.balances import SqlBalanceSource
from reservd_sql.equity import SqlEquitySource
from support.rigs.rig import HTML, TEXT, TellingRig
from support.rigs.servers import READER

_BALANCE = "SELECT 'main' AS account, 'USDC' AS asset, amount, at AS observed_at FROM balance"


class LedgerRig(TellingRig):
    """A ledger with one table, of which each row is one balance."""

    FAULTS: tuple[str, ...] = (
        "lacks the table", "tells NaN", "tells null", "tells text", "lacks the asset", "tells the asset twice",
        "tells an old number", "tells a number from the future",
    )  # fmt: skip

    _tells_zero = False

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the ledger."""
        raise NotImplementedError

    def write(self, amount: str | None, off: timedelta = timedelta(), *, rows: int = 1, kind: str = "numeric") -> None:
        """Replace the content of the ledger with a balance.

        Args:
            amount: The amount.
            off: The offset of its time from now.
            rows: The number of identical rows.
            kind: The type of its amounts, where the database has types.
        """
        raise NotImplementedError

    def tells(self, number: str | None, off: timedelta = timedelta()) -> None:
        self.write(number, off, kind="text" if number == TEXT else "numeric")

    def drop(self) -> None:
        """Drop the table."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.heal()
        return await super().__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self.heal()

    def make(self) -> Any:
        accounts = {"main": {"assets": ["USDC"]}}
        return self.build(SqlBalanceSource, url=self.url, statement=_BALANCE, accounts=accounts)

    def make_equity(self) -> Any:
        return self.build(SqlEquitySource, url=self.url, statement=_BALANCE)

    async def heal(self) -> None:
        self.write(str(self.amount))

    def tells_zero_once(self) -> None:
        """Until it was read."""
        self._tells_zero = True
        self.write("0")

    def was_read(self) -> None:
        if self._tells_zero:
            self._tells_zero = False
            self.write(str(self.amount))

    def lacks_the_table(self) -> None:
        self.drop()

    def lacks_the_asset(self) -> None:
        self.write("5", rows=0)

    def tells_the_asset_twice(self) -> None:
        self.write("5", rows=2)


class SqliteLedger(LedgerRig):
    """A ledger in a file."""

    FAULTS = ("is locked", "is gone", "is no database", *LedgerRig.FAULTS)

    async def __aenter__(self) -> Self:
        self._path = self.folder / "ledger.db"
        self._holder: sqlite3.Connection | None = None
        return await super().__aenter__()

    @property
    def url(self) -> str:
        return f"sqlite:///{self._path}"

    async def heal(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        hidden = self._path.with_suffix(".away")
        if hidden.exists():
            hidden.replace(self._path)
        await super().heal()

    def write(self, amount: str | None, off: timedelta = timedelta(), *, rows: int = 1, kind: str = "numeric") -> None:
        at = (datetime.now(UTC) + off).isoformat()
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS balance (amount, at)")
            connection.execute("DELETE FROM balance")
            connection.executemany("INSERT INTO balance VALUES (?, ?)", [(amount, at)] * rows)
            connection.commit()

    def drop(self) -> None:
        with closing(sqlite3.connect(self._path)) as connection:
            connection.execute("DROP TABLE balance")
            connection.commit()

    def is_locked(self) -> None:
        self._holder = sqlite3.connect(self._path, isolation_level=None)
        self._holder.execute("BEGIN EXCLUSIVE")

    def is_gone(self) -> None:
        self._path.rename(self._path.with_suffix(".away"))

    def is_no_database(self) -> None:
        self.is_gone()
        self._path.write_text(HTML)


class PostgresqlLedger(LedgerRig):
    """A ledger on a server, read by a role with no other permission."""

    FAULTS = (
        "is locked", "answers slowly", "is stopped", "takes no connection", "refuses the role", *LedgerRig.FAULTS
    )  # fmt: skip

    async def __aenter__(self) -> Self:
        self._server = self.servers.postgres
        self._database = str(make_url(self._server.url()).database)
        self._holder: psycopg.Connection[Any] | None = None
        self._stopped = False
        return await super().__aenter__()

    @property
    def url(self) -> str:
        return self._server.url(self._database, user=READER)

    async def heal(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        # On a thread: an abandoned reading may lock the table until the loop has ended it.
        await asyncio.to_thread(self._renew)

    def _renew(self) -> None:
        if self._stopped:
            self._server.start()
            self._stopped = False
        self._does(
            "ALTER DATABASE {database} CONNECTION LIMIT -1",
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO {reader}",
        )
        self.write(str(self.amount))

    def write(self, amount: str | None, off: timedelta = timedelta(), *, rows: int = 1, kind: str = "numeric") -> None:
        self._does(
            "DROP TABLE IF EXISTS balance",
            "CREATE TABLE balance (amount {kind}, at timestamptz)",
            *["INSERT INTO balance VALUES ({amount}, '{at}')"] * rows,
            "GRANT SELECT ON balance TO {reader}",
            kind=kind,
            amount="NULL" if amount is None else f"'{amount}'",
            at=(datetime.now(UTC) + off).isoformat(),
        )

    def drop(self) -> None:
        self._does("DROP TABLE balance")

    def _does(self, *statements: str, **values: object) -> None:
        """Run statements as the owner, with values for the names in braces."""
        known = {"reader": READER, "database": self._database}
        self._server.execute(self._database, *[each.format(**known, **values) for each in statements])

    def is_locked(self) -> None:
        """As by a migration that does not end."""
        self._holder = psycopg.connect(self._server.url(self._database).replace("+psycopg", ""))
        self._holder.execute("LOCK TABLE balance IN ACCESS EXCLUSIVE MODE")

    def answers_slowly(self) -> None:
        self._does(
            "ALTER TABLE balance RENAME TO slow",
            "CREATE VIEW balance AS SELECT slow.* FROM slow, pg_sleep({seconds})",
            "GRANT SELECT ON balance TO {reader}",
            seconds=5 * self.timeout_seconds,
        )

    async def is_stopped(self) -> None:
        self._stopped = True
        await asyncio.to_thread(self._server.stop)

    def takes_no_connection(self) -> None:
        """Existing connections are ended as well."""
        self._does(
            "ALTER DATABASE {database} CONNECTION LIMIT 0",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{reader}'",
        )

    def refuses_the_role(self) -> None:
        self._does("REVOKE SELECT ON balance FROM {reader}")
