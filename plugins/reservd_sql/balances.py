"""Balances from a SQL database."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Self

from reservd.plugin import Account, AccountFailure, Balance, BalanceSource, FailureReason, Reading
from reservd_sql.config import SqlBalanceConfig
from reservd_sql.database import Database
from reservd_sql.rows import RowProblem, amount_in, instant_in

_COLUMNS = ("account", "asset", "amount", "observed_at")


class SqlBalanceSource(BalanceSource[SqlBalanceConfig]):
    """Reads all its balances with one statement."""

    PLUGIN_NAME = "sql"
    Config = SqlBalanceConfig

    def __init__(self, name: str, config: SqlBalanceConfig) -> None:
        super().__init__(name, config)
        self._database = Database(config)

    async def __aenter__(self) -> Self:
        """Create the connection pool."""
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._database.__aexit__()

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the configured accounts."""
        venue = self.config.venue or self.name
        return {
            name: Account(name, venue, account.address or name, account.assets)
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return a balance, or the failure `invalid_data`, for each configured account and asset.

        Raises:
            SourceError: If the statement returned no valid rows.
        """
        rows: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
        for row in await self._database.fetch_rows(self.config.statement, {}, _COLUMNS):
            rows[str(row["account"]), str(row["asset"])].append(row)
        balances: list[Balance] = []
        failures: list[AccountFailure] = []
        for name, account in self.config.accounts.items():
            for asset in sorted(account.assets):
                try:
                    balances.append(self._balance(name, asset, rows.get((account.address or name, asset), [])))
                except RowProblem as problem:
                    detail = f"{asset}: {problem}"
                    failures.append(AccountFailure(name, FailureReason.INVALID_DATA, detail, asset=asset))
        return Reading(balances, failures)

    def _balance(self, account: str, asset: str, rows: Sequence[Mapping[str, Any]]) -> Balance:
        if len(rows) != 1:
            raise RowProblem(f"must have one row, got {len(rows) or 'none'}")
        (row,) = rows
        floats = self.config.allow_float
        return Balance(
            account,
            asset,
            amount_in(row["amount"], "amount", allow_float=floats),
            instant_in(row["observed_at"], "observed_at", naive_is_utc=self.config.naive_is_utc),
            locked=amount_in(row["locked"], "locked", allow_float=floats) if "locked" in row else None,
        )
