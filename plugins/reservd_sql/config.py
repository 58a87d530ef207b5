"""The options of both `sql` sources."""

import sqlite3
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import text

from reservd.plugin import PluginConfig, SourceConfig
from reservd_sql.address import DatabaseUrl

Name = Annotated[str, Field(min_length=1)]


def bound_names(statement: str) -> frozenset[str]:
    """Return the names of the parameters that a statement binds, each written as `:name`."""
    return frozenset(text(statement).compile().params)


def _check_single(statement: str) -> str:
    ends = (index for index, character in enumerate(statement) if character == ";")
    # SQLite's lexer tells semicolons in strings and comments from those that end a statement. Whatever else it accepts
    # of PostgreSQL's own syntax, the server refuses.
    if any(sqlite3.complete_statement(statement[: end + 1]) and statement[end + 1 :].strip(" \n\t;") for end in ends):
        raise PydanticCustomError("statements", "must be exactly one statement")
    return statement


def _check_unbound(statement: str) -> str:
    if names := bound_names(statement):
        rule = "must bind no parameters: balances are not queried by mode, got :{name} (a plain colon is '\\:')"
        raise PydanticCustomError("parameters", rule, {"name": min(names)})
    return statement


def _check_bound(statement: str) -> str:
    if names := bound_names(statement) - {"mode", "currency"}:
        rule = "must bind no parameters but :mode and :currency, got :{name} (a plain colon is '\\:')"
        raise PydanticCustomError("parameters", rule, {"name": min(names)})
    return statement


BalanceStatement = Annotated[Name, AfterValidator(_check_single), AfterValidator(_check_unbound)]
EquityStatement = Annotated[Name, AfterValidator(_check_single), AfterValidator(_check_bound)]


class SqlDatabaseConfig(SourceConfig):
    """Options that both sources share."""

    url: DatabaseUrl
    """`postgresql://user:password@host/database` or `sqlite:///file.db`. It is a secret and never shown."""
    allow_float: bool = False
    """Accept floats, by their shortest text. By default they are refused: they have lost digits."""
    naive_is_utc: bool = False
    """Take times without a zone as UTC. By default they are refused."""


class SqlAccount(PluginConfig):
    """One account, and the rows of its balances."""

    assets: Annotated[frozenset[Name], Field(min_length=1)]
    """The assets that must each have a row."""
    address: Name | None = None
    """The value of its rows in the column `account`: its own id at the venue. Its name when left out."""


class SqlBalanceConfig(SqlDatabaseConfig):
    """Options of the `sql` balance source."""

    venue: Name | None = None
    """What the accounts belong to; the same for all sources of one venue. The instance's name when left out."""
    statement: BalanceStatement
    """One SELECT that returns the columns account, asset, amount and observed_at, and optionally locked."""
    accounts: Annotated[dict[Name, SqlAccount], Field(min_length=1)]
    """The accounts by name."""

    @field_validator("accounts")
    @classmethod
    def _each_address_once(cls, accounts: dict[str, SqlAccount]) -> dict[str, SqlAccount]:
        first: dict[str, str] = {}
        for name, account in accounts.items():
            address = account.address or name
            twin = first.setdefault(address, name)
            if twin != name:
                rule = "must not name the same rows twice: '{twin}' and '{name}' are both '{address}'"
                raise PydanticCustomError("twins", rule, {"twin": twin, "name": name, "address": address})
        return accounts


class SqlEquityConfig(SqlDatabaseConfig):
    """Options of the `sql` equity source."""

    statement: EquityStatement
    """One SELECT that returns one row: amount and observed_at, optionally currency. Binds :mode and :currency."""
    net_of_withdrawals: bool = False
    """Whether accepted, unpaid withdrawals are already subtracted from the number."""
