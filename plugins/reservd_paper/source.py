"""Balances and equity of a simulated treasury."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

from reservd.plugin import (
    Account,
    Balance,
    BalanceSource,
    Equity,
    EquitySource,
    FailureReason,
    Reading,
    SourceError,
)
from reservd_paper import registry
from reservd_paper.options import PaperBalanceConfig, PaperConfig
from reservd_paper.treasury import TreasuryPlan


class PaperBalanceSource(BalanceSource[PaperBalanceConfig]):
    """Defines a treasury and reports the reserve of each of its books."""

    PLUGIN_NAME = "paper"
    Config = PaperBalanceConfig
    NON_NEGATIVE = True

    def __init__(self, name: str, config: PaperBalanceConfig) -> None:
        super().__init__(name, config)
        plan = TreasuryPlan(config.books, config.seed, config.jitter)
        self._treasury = registry.describe(config.treasury, plan)

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return one account per book."""
        venue = f"paper/{self.config.treasury}"
        return {
            mode: Account(mode, venue, mode, frozenset({book.currency})) for mode, book in self.config.books.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return the liquid amount of each book now."""
        now = datetime.now(UTC)
        books = self._treasury.look(time.monotonic())
        return Reading([Balance(mode, book.currency, book.liquid, now) for mode, book in books.items()])


class PaperEquitySource(EquitySource[PaperConfig]):
    """Reports the equity of a mode's book."""

    PLUGIN_NAME = "paper"
    Config = PaperConfig

    async def fetch_equity(self, mode: str, currency: str) -> Equity:
        """Return the equity of a mode's book now, and its components.

        Raises:
            SourceError: If the treasury is not defined, or has no such book in this currency.
        """
        try:
            treasury = registry.find(self.config.treasury)
        except registry.UnknownTreasuryError as error:
            raise SourceError(FailureReason.INVALID_DATA, str(error)) from None
        book = treasury.look(time.monotonic()).get(mode)
        if book is None:
            detail = f"the treasury '{self.config.treasury}' has no book '{mode}'"
            raise SourceError(FailureReason.INVALID_DATA, detail)
        if book.currency != currency:
            raise SourceError(FailureReason.INVALID_DATA, f"book '{mode}' is kept in {book.currency}, not {currency}")
        components = {"liquid": book.liquid, "deployed": book.deployed, "unpaid_redemptions": book.unpaid}
        return Equity(book.equity, currency, datetime.now(UTC), components=components)
