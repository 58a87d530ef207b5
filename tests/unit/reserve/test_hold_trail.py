"""Money that arrives for a withdrawal in queue while the payment of another one, not reported yet, leaves."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.holds import GroupReading, Hold, cancel, settle
from reservd.reserve.holds.book import HoldBook
from support.holds import make_hold, read
from support.reserve import NOON

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
Pay = Callable[[Hold, int], Hold]


def paid_in_block(hold: Hold, step: int) -> Hold:
    return settle(hold, NOON + HOUR, block=step)


def paid_at_time(hold: Hold, step: int) -> Hold:
    return settle(hold, NOON + HOUR, paid_at=at(step) - 15 * SECOND)


def at(step: int) -> datetime:
    """Return the time of a check; the first is early enough to be sure that payments come after it."""
    return NOON + 30 * SECOND * step + (timedelta(minutes=2) if step else timedelta())


def look(book: HoldBook, step: int, balance: object) -> GroupReading:
    reading = read(balance, at(step), step)
    book.believe("m", reading)
    return reading


def make_book(*waiting: int, paying: Sequence[object] = (50,)) -> tuple[HoldBook, list[Hold]]:
    """Return a book with holds to be paid from 200, and those that wait for money."""
    book = HoldBook()
    holds = [make_hold(position, amount) for position, amount in enumerate(paying, 1)]
    for hold in holds:
        book.put(hold)
    book.rest_on("m", read(200, NOON, 0))
    for position, amount in enumerate(waiting, len(holds) + 1):
        book.put(make_hold(position, 0, amount))
    return book, holds


def arrived(book: HoldBook) -> list[Decimal]:
    return [hold.arrived for hold in book.holds() if hold.unwound]


@pytest.fixture(params=[paid_in_block, paid_at_time], ids=["by block", "by time"])
def pay(request: pytest.FixtureRequest) -> Pay:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize(("came", "then"), [(50, 0), (30, 0), (80, 30)])
def test_money_that_came_beside_a_payment_is_held_once_that_is_reported(pay: Pay, came: int, then: int) -> None:
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    look(book, 2, 200 - 50 + came)
    assert arrived(book) == [then]
    book.put(pay(paying, 2))
    for step in range(3, 9):
        look(book, step, 200 - 50 + came)
    assert arrived(book) == [came]
    assert not book.totals.has_late("m")


def test_money_that_came_when_all_seemed_promised_is_held_once_a_payment_is_reported(pay: Pay) -> None:
    """The payment has left already, so that what came seems to be needed for it."""
    book, (paying,) = make_book(80, paying=[200])
    for step, balance in enumerate([200, 0, 30, 30, 30, 30], 1):
        look(book, step, balance)
    assert arrived(book) == [0]
    book.put(pay(paying, 2))
    assert book.totals.held("m", read(30, at(7), 7)) == 30
    look(book, 7, 30)
    assert arrived(book) == [30]


def test_nothing_has_come_when_only_the_payment_left(pay: Pay) -> None:
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    look(book, 2, 150)
    book.put(pay(paying, 2))
    for step in range(3, 9):
        look(book, step, 150)
    assert arrived(book) == [0]


def test_money_that_came_after_the_payment_had_left_is_held_once(pay: Pay) -> None:
    book, (paying,) = make_book(80)
    for step, balance in enumerate([200, 150, 200], 1):
        look(book, step, balance)
    assert arrived(book) == [50]
    book.put(pay(paying, 2))
    for step in range(4, 9):
        look(book, step, 200)
    assert arrived(book) == [50]


def test_payment_that_left_before_anybody_waited_brings_nothing(pay: Pay) -> None:
    book, (paying,) = make_book(80)
    for step in (2, 3, 4):
        look(book, step, 200)
    book.put(pay(paying, 0))
    for step in range(5, 12):
        look(book, step, 200)
    assert arrived(book) == [0]


def test_time_of_a_payment_need_not_be_exact() -> None:
    """It left before the check, and by the clock of who paid it after it."""
    book, (paying,) = make_book(80)
    for step, balance in enumerate([200, 150], 1):
        look(book, step, balance)
    book.put(settle(paying, NOON + HOUR, paid_at=at(2) - 29 * SECOND))
    look(book, 3, 150)
    assert book.totals.has_late("m")
    assert not book.totals.has_late("elsewhere")
    for step in range(4, 9):
        look(book, step, 150)
    assert (arrived(book), book.totals.has_late("m")) == ([0], False)


def test_search_ends_when_nobody_waits_any_more_and_when_clocks_are_set(pay: Pay) -> None:
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    look(book, 2, 200)
    book.set_back(timedelta(minutes=1), NOON - HOUR)
    book.put(pay(paying, 2))
    assert not book.totals.has_late("m")


def test_oldest_falls_are_forgotten_so_that_memory_is_bounded() -> None:
    found = []
    for steps in (200, 600):
        book, (paying,) = make_book(10_000)
        look(book, 1, 5000)
        before = arrived(book)[0]
        book.put(cancel(book.holds()[-1], NOON))
        book.put(make_hold(9, 0, 10_000))
        for step in range(2, steps):
            look(book, step, 5000 - step)
        book.put(paid_in_block(paying, 100))
        look(book, steps, 5000 - steps)
        found.append(arrived(book)[-1])
    assert before == 4800
    assert found == [49, 0]


@pytest.mark.parametrize("by_block", [True, False])
def test_payment_brings_nothing_when_some_accounts_were_read_later_than_others(by_block: bool) -> None:
    """It is in the reading already, of one of the accounts, though the oldest account is of before it."""
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    newest = at(2) + 2 * MINUTE
    book.believe("m", read(150, at(2), 2)._replace(newest_at=newest, newest_block=4))
    for step in range(7, 13):
        look(book, step, 150)
    book.put(settle(paying, NOON + HOUR, block=4) if by_block else settle(paying, NOON + HOUR, paid_at=newest))
    for step in range(13, 19):
        look(book, step, 150)
    assert arrived(book) == [0]


@pytest.mark.parametrize("came", [0, 50])
@pytest.mark.parametrize("reported_first", [True, False])
@pytest.mark.parametrize("by_block", [True, False])
def test_only_what_came_is_held_when_a_reading_shows_a_payment_in_one_account_and_not_in_another(
    by_block: bool, reported_first: bool, came: int
) -> None:
    """The balance is without it already, but the oldest account is of before it."""
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    newest = at(2) + 20 * SECOND
    paid = settle(paying, NOON + HOUR, block=4) if by_block else settle(paying, NOON + HOUR, paid_at=newest)
    if reported_first:
        book.put(paid)
    for _ in range(2):
        book.believe("m", read(150 + came, at(2), 2)._replace(newest_at=newest, newest_block=4))
    book.put(paid)
    for step in range(7, 13):
        look(book, step, 150 + came)
    assert arrived(book) == [came]
    assert not book.totals.has_late("m")


def test_last_payments_are_kept_when_many_are_reported_before_a_reading_so_that_memory_is_bounded() -> None:
    book, paying = make_book(10_000, paying=["0.5"] * 400)
    look(book, 1, 200)
    for hold in paying:
        book.put(paid_in_block(hold, 3))
    book.believe("m", read(200, at(2), 2)._replace(newest_block=3))
    look(book, 4, 200)
    assert arrived(book) == [128]


def test_nobody_asks_for_later_readings_when_nobody_waits_any_more() -> None:
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    look(book, 2, 150)
    book.put(paid_at_time(paying, 2))
    assert book.totals.has_late("m")
    book.put(cancel(book.holds()[-1], NOON))
    assert not book.totals.has_late("m")


def test_falls_are_not_compared_with_payments_when_time_went_back() -> None:
    book, (paying,) = make_book(80)
    look(book, 1, 200)
    look(book, 2, 150)
    book.believe("m", read(150, at(1), 3))
    book.put(paid_in_block(paying, 2))
    look(book, 4, 150)
    assert arrived(book) == [0]


def test_last_payments_are_kept_when_many_are_reported_at_once_so_that_memory_is_bounded() -> None:
    book, paying = make_book(10_000, paying=["0.5"] * 400)
    for step in (1, 2, 3):
        look(book, step, 200)
    for hold in paying:
        book.put(settle(hold, NOON + HOUR, paid_at=at(2)))
    for step in range(4, 9):
        look(book, step, 200)
    assert arrived(book) == [128]


@given(
    leaves=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8)), min_size=1, max_size=4),
    comes=st.lists(st.integers(0, 30), min_size=8, max_size=8),
    waits=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    order=st.randoms(use_true_random=False),
    by_block=st.booleans(),
)
@settings(max_examples=300)
def test_all_that_comes_is_held_for_those_who_wait_and_nothing_else(
    leaves: list[tuple[int, int]], comes: list[int], waits: list[int], order: object, by_block: bool
) -> None:
    """Payments are reported after all checks that they fall among, in any order."""
    book, paying = make_book(*waits, paying=[amount for amount, _ in leaves])
    balance = 200
    for step in range(1, 9):
        balance += comes[step - 1] - sum(amount for amount, when in leaves if when == step)
        look(book, step, balance)
    reports = list(zip(paying, leaves, strict=True))
    order.shuffle(reports)  # type: ignore[attr-defined]
    for hold, (_, when) in reports:
        book.put((paid_in_block if by_block else paid_at_time)(hold, when))
    for step in range(9, 14):
        look(book, step, balance)
    total = sum(arrived(book))
    assert total == min(sum(waits), sum(comes))


@given(
    leaves=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 8), st.integers(1, 9)), min_size=1, max_size=4),
    comes=st.lists(st.tuples(st.integers(0, 30), st.sampled_from((0, 1))), min_size=8, max_size=8),
    lags=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=8, max_size=8),
    waits=st.lists(st.integers(1, 60), min_size=1, max_size=3),
)
@settings(max_examples=300)
def test_all_that_comes_is_held_when_two_accounts_are_read_at_different_blocks(
    leaves: list[tuple[int, int, int]],
    comes: list[tuple[int, int]],
    lags: list[tuple[int, int]],
    waits: list[int],
) -> None:
    """All is paid from the first of them. Payments are reported at once, or after later readings."""
    book, paying = make_book(*waits, paying=[amount for amount, _, _ in leaves])
    balances, seen = [(200, 0)], [0, 0]
    for step in range(1, 13):
        first, second = balances[-1]
        amount, place = comes[step - 1] if step <= 8 else (0, 0)
        first -= sum(each for each, when, _ in leaves if when == step)
        balances.append((first + amount, second) if place == 0 else (first, second + amount))
        lag = lags[step - 1] if step <= 8 else (0, 0)
        seen = [max(before, step - each) for before, each in zip(seen, lag, strict=True)]
        balance = Decimal(balances[seen[0]][0] + balances[seen[1]][1])
        oldest, newest = min(seen), max(seen)
        book.believe("m", GroupReading(balance, at(oldest), oldest, at(newest), newest))
        for hold, (_, when, reported) in zip(paying, leaves, strict=True):
            if step == max(when, reported):
                book.put(paid_in_block(hold, when))
    assert sum(arrived(book)) == min(sum(waits), sum(amount for amount, _ in comes))
