"""What changed in a reading of a source, whatever the layout of the one before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from reservd.errors import FailureReason, SourceError
from reservd.monitor.sources.table import ReadTable, tabulate
from reservd.plugin import AccountFailure, Balance, Reading

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOT_FAILED = AccountFailure("hot", FailureReason.TIMEOUT, "no answer", "USDT")


def read(before: ReadTable | None = None, *failures: AccountFailure, **amounts: object) -> ReadTable:
    """Return a reading with these amounts of accounts, in this order."""
    balances = [Balance(account, "USDT", Decimal(str(amount)), NOON) for account, amount in amounts.items()]
    return tabulate(Reading(balances, failures), str, before)


def amount(table: ReadTable, account: str) -> object:
    """Return the amount of an account, or its failure."""
    found = table.get((account, "USDT"))
    return found.amount if isinstance(found, Balance) else found


def news(table: ReadTable, before: ReadTable) -> set[str]:
    """Return the accounts that changed."""
    places = table.news(before, NOON, NOON)
    assert places is not None
    return {account for account, _ in places}


def test_layout_is_the_same_one_when_a_reading_looks_where_the_one_before_did() -> None:
    first = read(hot=1, cold=2)
    second = read(first, hot=1, cold=3)
    assert second.layout is first.layout
    assert (amount(second, "hot"), amount(second, "cold"), amount(second, "other")) == (1, 3, None)
    assert (amount(first, "cold"), news(second, first)) == (2, {"cold"})


@pytest.mark.parametrize("accounts", [("cold", "hot"), ("hot",), ("hot", "cold", "new"), ()])
def test_amounts_are_those_of_their_accounts_when_the_layout_is_another(accounts: tuple[str, ...]) -> None:
    """Another order is no change; an added or removed account is one."""
    amounts = {"hot": 1, "cold": 2, "new": 3}
    first = read(hot=1, cold=2)
    second = read(first, **{account: amounts[account] for account in accounts})
    assert second.layout is not first.layout
    assert {account: amount(second, account) for account in accounts} == {each: amounts[each] for each in accounts}
    assert news(second, first) == {"hot", "cold"} ^ set(accounts)


def test_failure_and_recovery_of_an_account_are_news_when_it_stays_in_its_place() -> None:
    first = read(None, cold=2, hot=1)
    failed = read(first, HOT_FAILED, cold=2)
    assert failed.layout is not first.layout
    assert (amount(failed, "hot"), news(failed, first)) == (HOT_FAILED, {"hot"})
    still = read(failed, HOT_FAILED, cold=2)
    assert (still.layout is failed.layout, news(still, failed)) == (True, set())
    well = read(still, cold=2, hot=1)
    assert (amount(well, "hot"), news(well, still)) == (1, {"hot"})


@pytest.mark.parametrize("minutes", [-3, 3])
def test_balance_of_another_time_is_news_when_its_amount_is_the_same(minutes: int) -> None:
    """It may be too old, or from the future."""
    patience = timedelta(minutes=2)
    window = NOON - patience, NOON + patience
    times = {"hot": NOON, "cold": NOON + timedelta(minutes=minutes)}
    first = read(None, HOT_FAILED, cold=2)
    second = tabulate(Reading([Balance(account, "USDT", Decimal(2), at) for account, at in times.items()]), str, first)
    third = tabulate(second.reading(), str, second)
    assert (first.is_within(*window), second.is_within(*window)) == (True, False)
    assert third.news(second, *window) == {("cold", "USDT")}
    assert read().is_within(*window), "no account has another time"


@pytest.mark.parametrize("asset", ["USDT", None])
def test_account_has_failed_when_a_reading_has_a_balance_of_it_as_well(asset: str | None) -> None:
    """A plugin that begins with 0 and notes what went wrong has read nothing."""
    failure = AccountFailure("hot", FailureReason.TIMEOUT, "no answer", asset)
    table = read(None, failure, hot=0, cold=2)
    assert (table.get(("hot", "USDT")), table.get(("hot", asset or ""))) == (failure if asset else None, failure)
    assert [(place, found.amount) for place, found in table.read()] == [(("cold", "USDT"), 2)]
    assert read(None, AccountFailure("hot", FailureReason.TIMEOUT, "no answer", "ETH"), hot=0).empty is False


def test_reading_is_refused_when_it_says_two_things_of_an_account_that_failed_before() -> None:
    """Both readings name the same accounts in the same order, with different results."""
    hot = Balance("hot", "USDT", Decimal(1), NOON)
    before = tabulate(Reading([hot], [HOT_FAILED]), str)
    assert before.get(("hot", "USDT")) == HOT_FAILED
    with pytest.raises(SourceError, match="twice"):
        tabulate(Reading([hot, hot]), str, before)
