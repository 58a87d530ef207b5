"""The queue for arriving money: the place of each withdrawal, and what those before it are waiting for."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.holds import cancel
from reservd.reserve.holds.book import HoldBook
from reservd.reserve.holds.queue import QueuePlace, line_up
from support.holds import make_hold
from support.reserve import NOON


def test_places_are_those_of_who_waits_in_order() -> None:
    holds = [make_hold(1, 5), make_hold(2, 0, 10), cancel(make_hold(3, 0, 7), NOON), make_hold(4, 1, 3)]
    partly = replace(holds[1], arrived=Decimal(4))
    assert line_up([holds[0], partly, *holds[2:]]) == {
        "h-2": QueuePlace(1, Decimal(0)),
        "h-4": QueuePlace(2, Decimal(6)),
    }


def test_book_tells_where_each_stands() -> None:
    book = HoldBook()
    holds = [make_hold(1, 0, 10), make_hold(2, 5), make_hold(3, 0, 7)]
    assert book.totals.stand(holds[0]) is None
    for hold in holds:
        book.put(hold)
    places = [QueuePlace(1, Decimal(0)), None, QueuePlace(2, Decimal(10))]
    assert [book.totals.stand(hold) for hold in holds] == places


@given(st.lists(st.integers(0, 3), max_size=8))
def test_book_tells_every_place_as_the_whole_queue_has_it(unwound: list[int]) -> None:
    book = HoldBook()
    holds = [make_hold(position, 1, amount) for position, amount in enumerate(unwound, 1)]
    for hold in holds:
        book.put(hold)
    assert {hold.id: book.totals.stand(hold) for hold in holds if hold.outstanding} == line_up(holds)
    assert [book.totals.stand(hold) for hold in holds if not hold.outstanding] == [None] * unwound.count(0)
    assert book.totals.stand(make_hold(9, 0, 1, group="elsewhere")) is None
