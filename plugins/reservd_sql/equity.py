"""Total equity from a SQL database."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from reservd.plugin import Equity, EquitySource, FailureReason, SourceError
from reservd_sql.config import SqlEquityConfig, bound_names
from reservd_sql.database import Database
from reservd_sql.rows import RowProblem, amount_in, instant_in

_COLUMNS = ("amount", "observed_at")


class SqlEquitySource(EquitySource[SqlEquityConfig]):
    """Reads total equity with one statement."""

    PLUGIN_NAME = "sql"
    Config = SqlEquityConfig

    def __init__(self, name: str, config: SqlEquityConfig) -> None:
        super().__init__(name, config)
        self._database = Database(config)
        self._bound = bound_names(config.statement)

    async def __aenter__(self) -> Self:
        """Create the connection pool."""
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._database.__aexit__()

    @property
    def by_share_class(self) -> bool:
        """Whether the statement contains no mode."""
        return "mode" not in self._bound

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the equity in the statement's one row.

        Raises:
            SourceError: If there is not exactly one row, or a value in it is invalid.
        """
        parameters = {name: value for name, value in (("mode", mode), ("currency", currency)) if name in self._bound}
        rows = await self._database.fetch_rows(self.config.statement, parameters, _COLUMNS)
        try:
            return self._equity(rows, currency)
        except RowProblem as problem:
            raise SourceError(FailureReason.INVALID_DATA, str(problem)) from None

    def _equity(self, rows: Sequence[Mapping[str, Any]], currency: str) -> Equity:
        if len(rows) != 1:
            raise RowProblem(f"the statement must give one row, gave {len(rows) or 'none'}")
        (row,) = rows
        if row.get("currency", currency) != currency:
            raise RowProblem(f"currency must be {currency}")
        return Equity(
            amount_in(row["amount"], "amount", allow_float=self.config.allow_float),
            currency,
            instant_in(row["observed_at"], "observed_at", naive_is_utc=self.config.naive_is_utc),
            net_of_withdrawals=self.config.net_of_withdrawals,
        )
