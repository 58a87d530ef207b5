"""Balances from a CSV file."""

import asyncio
import csv
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reservd.plugin import (
    Account,
    AccountFailure,
    Balance,
    BalanceSource,
    ConfigPath,
    FailureReason,
    Reading,
    SourceConfig,
    SourceError,
    parse_amount,
)

COLUMNS = ("account", "asset", "amount")
Amounts = Mapping[tuple[str, str], list[str]]
"""The text of the amount of each account and asset in the ledger."""


class LedgerConfig(SourceConfig):
    """Options of the `example` balance source."""

    ledger: ConfigPath
    """The CSV file, with the columns `account`, `asset` and `amount`."""
    accounts: Annotated[dict[str, Annotated[tuple[str, ...], Field(min_length=1)]], Field(min_length=1)]
    """The accounts to read, by name: the assets of each."""
    venue: str = "ledger"
    """What the accounts belong to: two sources with the same venue and account are the same money."""


class LedgerSource(BalanceSource[LedgerConfig]):
    """Reads the configured accounts from one file."""

    PLUGIN_NAME = "example"
    Config = LedgerConfig

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the configured accounts."""
        return {
            name: Account(name, self.config.venue, name, frozenset(assets))
            for name, assets in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return the balance of each configured account and asset in the ledger, as old as the file.

        Raises:
            SourceError: If there is no ledger, or it has other columns.
        """
        try:
            amounts, written_at = await asyncio.to_thread(_read, self.config.ledger)
        except OSError as error:
            raise SourceError(FailureReason.UNREACHABLE, error.strerror or type(error).__name__) from None
        except (ValueError, csv.Error):
            raise SourceError(FailureReason.INVALID_DATA, f"no CSV with the columns {', '.join(COLUMNS)}") from None
        found = [
            _balance(account, asset, amounts.get((account, asset), []), written_at)
            for account, assets in self.config.accounts.items()
            for asset in assets
        ]
        return Reading(
            [each for each in found if isinstance(each, Balance)],
            [each for each in found if isinstance(each, AccountFailure)],
        )


def _read(path: Path) -> tuple[Amounts, datetime]:
    amounts: dict[tuple[str, str], list[str]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise ValueError("other columns")
        for row in rows:
            amounts[row["account"], row["asset"]].append(row["amount"] or "")
        written_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return amounts, written_at


def _balance(account: str, asset: str, amounts: list[str], written_at: datetime) -> Balance | AccountFailure:
    """Return the balance, or a failure unless it is there exactly once, because absent is not zero."""
    if len(amounts) != 1:
        detail = "is not in the ledger" if not amounts else "is in the ledger more than once"
        return AccountFailure(account, FailureReason.INVALID_DATA, detail, asset)
    try:
        return Balance(account, asset, parse_amount(amounts[0]), written_at)
    except ValueError:
        return AccountFailure(account, FailureReason.INVALID_DATA, "has no number in the ledger", asset)
