"""Sources on this machine: a database, a program."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Self

from reservd_command.balances import CommandBalanceSource
from reservd_sql.balances import SqlBalanceSource
from support import programs
from support.rigs.rig import HTML, Rig


class Sql(Rig):
    """A ledger in a file: another program holds it, spoils it, or writes rubbish."""

    FAULTS = (
        "is locked", "is gone", "is no database", "lacks the table", "tells NaN", "tells null", "tells text",
        "lacks the asset", "tells the asset twice", "tells an old number", "tells a number from the future",
    )  # fmt: skip

    async def __aenter__(self) -> Self:
        self.path = self.folder / "ledger.db"
        self._holder: sqlite3.Connection | None = None
        await self.heal()
        self.source = self.build(
            SqlBalanceSource,
            url=f"sqlite:///{self.path}",
            statement="SELECT 'main' AS account, 'USDC' AS asset, amount, at AS observed_at FROM balance",
            accounts={"main": {"assets": ["USDC"]}},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.heal()

    async def heal(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None
        hidden = self.path.with_suffix(".away")
        if hidden.exists():
            hidden.replace(self.path)
        self._write(str(self.amount))

    def _write(self, amount: str | None, off: timedelta = timedelta(), *, rows: int = 1) -> None:
        at = (datetime.now(UTC) + off).isoformat()
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS balance (amount, at)")
            connection.execute("DELETE FROM balance")
            connection.executemany("INSERT INTO balance VALUES (?, ?)", [(amount, at)] * rows)
            connection.commit()

    def is_locked(self) -> None:
        self._holder = sqlite3.connect(self.path, isolation_level=None)
        self._holder.execute("BEGIN EXCLUSIVE")

    def is_gone(self) -> None:
        self.path.rename(self.path.with_suffix(".away"))

    def is_no_database(self) -> None:
        self.is_gone()
        self.path.write_text(HTML)

    def lacks_the_table(self) -> None:
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute("DROP TABLE balance")
            connection.commit()

    def tells_NaN(self) -> None:  # noqa: N802  # the fault's name
        self._write("NaN")

    def tells_null(self) -> None:
        self._write(None)

    def tells_text(self) -> None:
        self._write("n/a")

    def lacks_the_asset(self) -> None:
        self._write("5", rows=0)

    def tells_the_asset_twice(self) -> None:
        self._write("5", rows=2)

    def tells_an_old_number(self) -> None:
        self._write("5", timedelta(hours=-1))

    def tells_a_number_from_the_future(self) -> None:
        self._write("5", timedelta(hours=1))


class Command(Rig):
    FAULTS = (
        "hangs", "answers slowly", "fails", "is missing", "answers HTML", "answers nothing", "breaks off",
        "answers the wrong type", "tells NaN", "tells null", "tells text", "lacks the asset", "tells an old number",
        "tells a number from the future",
    )  # fmt: skip

    async def __aenter__(self) -> Self:
        await self.heal()
        self.source = self.build(
            CommandBalanceSource, command=[str(self.folder / "program")], accounts={"main": {"assets": ["USDC"]}}
        )
        return self

    async def heal(self) -> None:
        self._tells(f'"{self.amount}"')

    def _runs(self, script: str) -> None:
        programs.sh(self.folder, script)

    def _says(self, text: str) -> None:
        (self.folder / "answer").write_text(text)
        self._runs(f"cat {self.folder}/answer")

    def _tells(self, amount: str, more: str = "") -> None:
        self._says(f'{{"balances": [{{"account": "main", "asset": "USDC", "amount": {amount}{more}}}]}}')

    def hangs(self) -> None:
        self._runs("exec sleep 60")

    def answers_slowly(self) -> None:
        self._runs(f"sleep {5 * self.timeout_seconds}; cat {self.folder}/answer")

    def breaks_off(self) -> None:
        self._runs(f"head -c 20 {self.folder}/answer")

    def fails(self) -> None:
        self._runs(f"cat {self.folder}/answer; exit 3")

    def is_missing(self) -> None:
        (self.folder / "program").unlink()

    def answers_HTML(self) -> None:  # noqa: N802  # the fault's name
        self._says(HTML)

    def answers_nothing(self) -> None:
        self._runs("exit 0")

    def answers_the_wrong_type(self) -> None:
        self._says("[7]")

    def tells_NaN(self) -> None:  # noqa: N802  # the fault's name
        self._tells("NaN")

    def tells_null(self) -> None:
        self._tells("null")

    def tells_text(self) -> None:
        self._tells('"n/a"')

    def tells_zero_once(self) -> None:
        """What it says at first is not what it says when it is asked again."""
        self._tells("0")
        (self.folder / "zero").write_text((self.folder / "answer").read_text())
        self._tells(f'"{self.amount}"')
        self._runs(f"cat {self.folder}/zero 2>/dev/null && rm {self.folder}/zero || cat {self.folder}/answer")

    def lacks_the_asset(self) -> None:
        self._says('{"balances": []}')

    def tells_an_old_number(self) -> None:
        self._dates(timedelta(hours=-1))

    def tells_a_number_from_the_future(self) -> None:
        self._dates(timedelta(hours=1))

    def _dates(self, off: timedelta) -> None:
        self._tells("5", f', "observed_at": "{(datetime.now(UTC) + off).isoformat()}"')
