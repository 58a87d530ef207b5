"""Balances from a program's standard output."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from reservd.plugin import (
    Account,
    AccountFailure,
    Balance,
    BalanceSource,
    FailureReason,
    PluginConfig,
    Reading,
    SourceError,
)
from reservd_command.answers import ToldBalance, ToldBalances, ToldFailure, ToldPlace, fetch_answer
from reservd_command.options import CommandConfig
from reservd_command.program import one_line

Name = Annotated[str, Field(min_length=1)]
Place = tuple[str, str]
"""An account and an asset."""


class CommandAccount(PluginConfig):
    """One account that the program reports."""

    address: Name | None = None
    """The account's own id at the venue, which identifies its money; its name when left out."""
    assets: Annotated[tuple[Name, ...], Field(min_length=1)]
    """The assets that must be reported, as the modes spell them."""


class CommandBalanceConfig(CommandConfig):
    """Options of the `command` balance source."""

    venue: Name | None = None
    """What the accounts belong to; the same for all sources of one venue. The instance's name when left out."""
    accounts: Annotated[dict[Name, CommandAccount], Field(min_length=1)]
    """The accounts by name."""


class CommandBalanceSource(BalanceSource[CommandBalanceConfig]):
    """Reads all its balances from one run of the program."""

    PLUGIN_NAME = "command"
    Config = CommandBalanceConfig

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the configured accounts."""
        venue = self.config.venue or self.name
        return {
            name: Account(name, venue, account.address or name, frozenset(account.assets))
            for name, account in self.config.accounts.items()
        }

    async def fetch_balances(self) -> Reading:
        """Return a balance or a failure for each configured account and asset.

        Raises:
            SourceError: If no answer came, or an entry in it has no account or asset.
        """
        # Taken before the program runs: its numbers may be as old as this, and must not look newer.
        asked_at = datetime.now(UTC)
        answer = ToldBalances.read(await fetch_answer(self.config, self.config.command, {}))
        places = [(name, asset) for name, account in self.config.accounts.items() for asset in account.assets]
        return _reading(answer, dict.fromkeys(places), asked_at)


def _reading(answer: ToldBalances, places: Collection[Place], asked_at: datetime) -> Reading:
    told: dict[Place, Balance | AccountFailure] = {}
    for index, entry in enumerate(answer.balances):
        where = f"balances.{index}"
        about = ToldPlace.read(entry, where)
        place = (about.account, about.asset)
        if place in told:
            told[place] = _unbelievable(place, "appears twice in the answer")
        elif place in places:
            told[place] = _balance(entry, where, place, asked_at)
    for index, entry in enumerate(answer.failures):
        failed = ToldFailure.read(entry, f"failures.{index}")
        for account, asset in places:
            if failed.account == account and failed.asset in {None, asset}:
                told[account, asset] = AccountFailure(account, failed.reason, one_line(failed.detail), asset)
    outcomes = [told.get(place) or _unbelievable(place, "is missing from the answer") for place in places]
    return Reading(
        [each for each in outcomes if isinstance(each, Balance)],
        [each for each in outcomes if isinstance(each, AccountFailure)],
    )


def _balance(entry: object, where: str, place: Place, asked_at: datetime) -> Balance | AccountFailure:
    try:
        told = ToldBalance.read(entry, where)
    except SourceError as error:
        return _unbelievable(place, error.detail)
    return Balance(told.account, told.asset, told.amount, told.observed_at or asked_at, told.locked)


def _unbelievable(place: Place, problem: str) -> AccountFailure:
    account, asset = place
    return AccountFailure(account, FailureReason.INVALID_DATA, f"{asset}: {problem}", asset)
