"""The book of holds, compared with a full calculation by the same rules."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from reservd.reserve.holds import Hold, Unwinding, cancel, is_shown, mark_paying, settle
from reservd.reserve.holds.book import HoldBook
from support.holds import Payers, accounts_of, make_hold, read
from support.reserve import NOON

MINUTE = timedelta(minutes=1)


def arrivals(book: HoldBook) -> dict[str, int]:
    return {hold.id: int(hold.arrived) for hold in book.holds()}


def test_book_finds_holds_by_id_and_key_and_counts_positions() -> None:
    book = HoldBook()
    assert (book.find("h-1"), book.find_key("m", "k-1"), book.last_position, len(book)) == (None, None, 0, 0)
    book.put(hold := make_hold(1))
    assert book.find("h-1") is book.find_key("m", "k-1") is hold
    assert book.find_key("other", "k-1") is None
    assert (book.last_position, len(book), list(book.open_holds())) == (1, 1, [hold])


def test_promises_are_off_a_reading_until_it_shows_their_payment() -> None:
    book = HoldBook()
    assert (book.totals.held("m", read(100)), book.totals.knows("m")) == (0, False)
    book.put(hold := make_hold(1, 30))
    assert (book.totals.knows("m"), book.totals.knows("other")) == (True, False)
    book.put(make_hold(2, 20, 5))
    assert book.totals.held("m", read(100)) == 50
    assert book.totals.held("other", read(100)) == 0
    book.put(settle(hold, NOON + 2 * MINUTE, paid_at=NOON + MINUTE))
    assert book.totals.held("m", read(100)) == 50
    assert book.totals.held("m", read(70, NOON + MINUTE)) == 20
    assert book.totals.held("m", read(70, NOON + MINUTE, block=3)) == 20


def test_promises_are_told_apart_by_the_modes_that_made_them() -> None:
    book = HoldBook()
    assert book.totals.held_by("g", "a", read(100)) == 0
    book.put(hold := make_hold(1, 30, group="g", mode="a"))
    book.put(make_hold(2, 20, 5, group="g", mode="b"))
    assert [book.totals.held_by("g", mode, read(100)) for mode in "abc"] == [30, 20, 0]
    book.put(settle(hold, NOON + 2 * MINUTE, paid_at=NOON + MINUTE))
    assert [book.totals.held_by("g", "a", read(70, at)) for at in (NOON, NOON + MINUTE)] == [30, 0]
    book.group_by(Payers({"a": "other", "b": "other"}))
    assert (book.totals.held_by("g", "b", read(100)), book.totals.held_by("other", "b", read(100))) == (0, 20)


def test_equity_owes_the_whole_of_accepted_withdrawals_until_it_shows_their_payment() -> None:
    book = HoldBook()
    assert book.totals.owed("m", NOON) == 0
    book.put(hold := make_hold(1, 20, 5))
    assert book.totals.owed("m", NOON) == 25
    book.put(settle(hold, NOON + 2 * MINUTE, paid_at=NOON + MINUTE))
    assert (book.totals.owed("m", NOON), book.totals.owed("m", NOON + MINUTE)) == (25, 0)
    book.put(cancelled := cancel(make_hold(2, 3), NOON))
    book.load([cancelled])
    assert book.totals.owed("m", NOON + MINUTE) == 0


def test_money_that_arrives_is_held_for_the_first_who_waits_first() -> None:
    book = HoldBook()
    for hold in (make_hold(1, 0, 10), make_hold(2, 5, 0), make_hold(3, 0, 20)):
        book.put(hold)
    book.rest_on("m", read(5))
    assert [hold.id for hold in book.totals.waiting("m")] == ["h-1", "h-3"]
    assert book.totals.held("m", read(9, NOON + MINUTE)) == 5 + 4  # an arrival is held before its reading is believed
    assert arrivals(book) == {"h-1": 0, "h-2": 0, "h-3": 0}
    assert [hold.id for hold in book.believe("m", read(9, NOON + MINUTE))] == ["h-1"]
    book.believe("m", read(17, NOON + 2 * MINUTE))
    assert arrivals(book) == {"h-1": 10, "h-2": 0, "h-3": 2}
    book.believe("m", read(17, NOON + 3 * MINUTE))
    assert arrivals(book) == {"h-1": 10, "h-2": 0, "h-3": 2}
    last = book.totals.last_waiting("m")
    assert last is not None
    assert (last.id, last.outstanding) == ("h-3", 18)
    book.believe("m", read(100, NOON + 4 * MINUTE))
    assert arrivals(book)["h-3"] == 20
    assert (book.totals.waiting("m"), book.totals.last_waiting("m")) == ([], None)
    assert book.totals.held("m", read(100, NOON + 4 * MINUTE)) == 35


def test_nothing_arrives_when_what_a_payment_or_a_new_hold_moved_is_all_that_moved() -> None:
    book = HoldBook()
    book.put(first := make_hold(1, 30))
    book.put(make_hold(2, 0, 10))
    book.rest_on("m", read(100))
    book.put(make_hold(3, 20))
    assert book.believe("m", read(100, NOON + MINUTE)) == []
    # The payment shows in the reading before it is reported.
    assert book.believe("m", read(70, NOON + 2 * MINUTE)) == []
    book.put(settle(first, NOON + 4 * MINUTE, paid_at=NOON + 2 * MINUTE))
    assert book.believe("m", read(70, NOON + 3 * MINUTE)) == []
    assert arrivals(book)["h-2"] == 0


def test_money_that_arrives_goes_first_to_what_was_promised_and_is_not_there() -> None:
    book = HoldBook()
    book.put(make_hold(1, 90))
    book.put(make_hold(2, 0, 10))
    book.rest_on("m", read(100))
    assert book.believe("m", read(80, NOON + MINUTE)) == []  # 20 were taken for another purpose
    assert book.believe("m", read(90, NOON + 2 * MINUTE)) == []
    assert book.believe("m", read(94, NOON + 3 * MINUTE))[0].arrived == 4


def test_money_that_arrives_beside_a_payment_is_counted_in_full() -> None:
    book = HoldBook()
    book.put(first := make_hold(1, 30))
    book.put(make_hold(2, 0, 10))
    book.rest_on("m", read(100))
    book.put(settle(first, NOON + MINUTE, block=7))
    assert book.believe("m", read(78, NOON + 2 * MINUTE, block=8))[0].arrived == 8


def test_arrivals_are_counted_from_the_newest_reading_that_a_decision_rests_on() -> None:
    book = HoldBook()
    book.rest_on("m", read(100))
    book.put(make_hold(1, 10))
    book.rest_on("m", read(110, NOON + MINUTE))
    # A lagging node: of what arrives after this reading, 10 were in the one before, and are held.
    book.put(make_hold(2, 0, 30))
    book.rest_on("m", read(100, NOON))
    assert book.take_changes().levels == {"m": read(110, NOON + MINUTE)}
    assert book.believe("m", read(100, NOON)) == []
    assert book.believe("m", read(110, NOON + MINUTE)) == []
    assert not book.changed
    # Nothing that arrives between two decisions is lost to those who wait.
    book.put(make_hold(3, 0, 5))
    book.rest_on("m", read(120, NOON + 2 * MINUTE))
    book.believe("m", read(120, NOON + 2 * MINUTE))
    assert arrivals(book) == {"h-1": 0, "h-2": 10, "h-3": 0}
    assert book.take_changes().levels == {"m": read(120, NOON + 2 * MINUTE)}


def test_what_came_while_nobody_waited_has_arrived_for_nobody() -> None:
    """Later withdrawals have no part in it, whether or not the accounts were known then."""
    book = HoldBook()
    book.rest_on("m", read(5))
    book.put(make_hold(1, 0, 10))
    book.believe("m", read(15, NOON + MINUTE))
    book.rest_on("m", read(100, NOON + 2 * MINUTE))
    book.put(second := make_hold(2, 0, 30))
    assert book.believe("m", read(101, NOON + 3 * MINUTE))[0].arrived == 1
    book.put(cancel(second, NOON + 4 * MINUTE))
    book.rest_on("m", None)
    book.put(make_hold(3, 0, 30))
    assert book.believe("m", read(200, NOON + 5 * MINUTE)) == []
    assert book.believe("m", read(202, NOON + 6 * MINUTE))[0].arrived == 2


def test_what_nobody_was_asked_for_yet_is_told_until_somebody_is() -> None:
    book = HoldBook()
    assert book.totals.due("m") == {}
    for hold in (first := make_hold(1, 0, 10), make_hold(2, 5), make_hold(3, 1, 7)):
        book.put(hold)
    assert book.totals.due("m") == {"h-1": 10, "h-3": 7}
    book.put(replace(first, unwinding=Unwinding.ASKED))
    assert book.totals.due("m") == {"h-3": 7}


def test_nothing_has_arrived_when_there_is_nothing_to_count_from() -> None:
    book = HoldBook()
    book.put(make_hold(1, 0, 10))
    assert book.totals.held("m", read(500)) == 0
    assert book.believe("m", read(500)) == []
    assert book.believe("m", read(503, NOON + MINUTE))[0].arrived == 3
    assert book.believe("other", read(500)) == []


def test_changes_are_taken_once_in_their_last_state() -> None:
    book = HoldBook()
    book.put(hold := make_hold(1))
    book.put(mark_paying(hold))
    assert book.changed
    assert [each.state for each in book.take_changes().holds] == ["paying"]
    assert not book.changed
    assert book.take_changes().holds == []


def test_book_is_the_same_when_it_is_read_from_the_store() -> None:
    book = HoldBook()
    for hold in (make_hold(1, 10), make_hold(2, 0, 10)):
        book.put(hold)
    book.rest_on("m", read(50))
    changes = book.take_changes()
    again = HoldBook()
    again.load(changes.holds)
    again.load_levels(changes.levels)
    assert not again.changed
    assert again.last_position == 2
    assert again.totals.held("m", read(57)) == book.totals.held("m", read(57)) == 17


def test_accepted_amounts_count_within_the_period_unless_they_are_cancelled() -> None:
    book = HoldBook(lambda mode: mode == "m")
    assert book.totals.accepted_since("m", NOON) == 0
    book.load_accepted("m", [(1, Decimal(7), NOON), (2, Decimal(8), NOON + MINUTE)])
    book.load([make_hold(2, 8, at=NOON + MINUTE)])
    book.put(make_hold(3, 20, at=NOON + timedelta(days=9)), accepted_at=NOON + 2 * MINUTE)
    book.put(make_hold(4, 5, mode="other"))
    assert book.totals.accepted_since("m", NOON - MINUTE) == 35
    assert book.totals.accepted_since("m", NOON) == 28
    book.put(cancel(make_hold(2, 8, at=NOON + MINUTE), NOON))
    assert book.totals.accepted_since("m", NOON) == 20
    assert book.totals.accepted_since("m", NOON + 2 * MINUTE) == 0
    assert book.totals.accepted_since("other", NOON - MINUTE) == 0
    # An old hold that is looked up again is not counted again.
    book.load([settle(make_hold(1, 7), NOON, block=1)])
    assert book.totals.accepted_since("m", NOON + 2 * MINUTE) == 0


def test_ended_holds_are_forgotten_when_no_reading_shows_them_and_they_are_stored() -> None:
    book, hour = HoldBook(), timedelta(hours=1)
    for position in range(1, 5):
        book.put(settle(make_hold(position), NOON, paid_at=NOON))
        book.forget(NOON + position * MINUTE, hour)
    book.put(make_hold(5))
    book.forget(NOON + 10 * hour, hour)
    assert len(book) == 5  # not stored yet
    book.take_changes()
    book.forget(NOON + hour + 2 * MINUTE, hour)
    assert [hold.position for hold in book.holds()] == [3, 4, 5]
    book.forget(NOON + 10 * hour, hour, keep=1)
    assert [hold.position for hold in book.holds()] == [4, 5]
    book.forget(NOON + 10 * hour, hour)
    assert [hold.position for hold in book.holds()] == [5]
    assert book.totals.held("m", read(0, NOON - MINUTE)) == 10


def test_ended_hold_is_remembered_for_its_time_whatever_clock_told_when_it_ended() -> None:
    book = HoldBook()
    for position, days in enumerate((-900, 900), start=1):
        at = NOON + timedelta(days=days)
        book.put(settle(make_hold(position, at=at), at, paid_at=at))
    book.take_changes()
    book.forget(NOON, MINUTE)
    assert len(book) == 2
    book.forget(NOON + MINUTE, MINUTE)
    assert len(book) == 0


@pytest.mark.parametrize(("by", "earlier"), [(timedelta(days=2), MINUTE), (timedelta(), timedelta())])
def test_what_was_read_and_paid_by_a_clock_that_was_ahead_was_so_before_it_is_set_back(
    by: timedelta, earlier: timedelta
) -> None:
    book, ahead = HoldBook(), NOON + timedelta(days=2)
    book.put(make_hold(1, 10, 5))
    book.rest_on("m", read(100, ahead - MINUTE))
    book.put(settle(make_hold(2, 7), ahead, paid_at=ahead))
    book.put(settle(make_hold(3, 3), ahead, block=7))
    book.put(settle(make_hold(4, 2), NOON, paid_at=NOON))
    book.put(settle(make_hold(5, 1), ahead - MINUTE, block=8))
    book.take_changes()
    book.set_back(by, NOON)
    changes = book.take_changes()
    assert [(hold.position, hold.paid_at, hold.ended_at) for hold in changes.holds] == [
        (2, NOON, NOON),
        (3, None, NOON),
        (5, None, NOON - earlier),
    ]
    assert changes.levels == {"m": read(100, NOON - earlier)}
    assert book.totals.held("m", read(88, NOON)) == 10
    assert book.totals.paid_between("m", read(100, NOON - MINUTE), read(88, NOON)) == (12 if by else 13)
    arrived = book.believe("m", read(91, NOON + MINUTE))
    assert [hold.arrived for hold in arrived] == ([3] if by else []), "it is unknown which was first"
    book.take_changes()
    book.set_back(by, NOON + MINUTE)
    assert not book.changed


def test_nobody_knows_what_was_accepted_within_the_period_while_some_of_it_cannot_be_read() -> None:
    book = HoldBook(lambda _: True)
    assert not book.totals.is_accepted_in_doubt("m", NOON)
    book.load_accepted("m", [(1, Decimal(7), NOON)])
    assert not book.totals.is_accepted_in_doubt("m", NOON - MINUTE)
    book.doubt_accepted("m", NOON)
    assert book.totals.is_accepted_in_doubt("m", NOON - MINUTE)
    assert not book.totals.is_accepted_in_doubt("m", NOON)


def test_ended_hold_is_not_forgotten_when_arrivals_are_counted_from_a_reading_that_shows_it() -> None:
    book = HoldBook()
    book.put(paid := make_hold(1, 30))
    book.put(make_hold(2, 0, 10))
    book.rest_on("m", read(100))
    book.put(settle(paid, NOON + MINUTE, paid_at=NOON + MINUTE))
    book.take_changes()
    for days in (0, 1):
        book.forget(NOON + timedelta(days=days), MINUTE)
    assert len(book) == 2
    assert book.believe("m", read(70, NOON + 2 * MINUTE)) == []


def test_promises_go_along_when_modes_come_to_share_accounts() -> None:
    book = HoldBook()
    book.put(make_hold(1, 10, 5, mode="b"))
    book.put(settle(make_hold(2, 7, mode="a"), NOON + MINUTE, paid_at=NOON + MINUTE))
    book.put(make_hold(3, 20, 1, mode="a"))
    book.put(make_hold(4, 30, mode="gone"))
    book.rest_on("a", read(100))
    book.group_by(Payers({"a": "a", "b": "a"}))
    assert book.totals.held("a", read(100)) == 10 + 7 + 20
    assert book.totals.held("gone", read(100)) == 30
    assert [hold.id for hold in book.totals.waiting("a")] == ["h-1", "h-3"], "the first stays the first"
    assert book.believe("a", read(93, NOON + MINUTE)) == []  # the payment left
    assert book.believe("a", read(95, NOON + 2 * MINUTE))[0].arrived == 2
    book.regroup()
    assert book.totals.owed("b", NOON) == 15


def left_behind() -> HoldBook:
    """Return a book with holds of a mode that was paid from accounts `xy` and no longer exists."""
    book = HoldBook(lambda _: True)
    book.group_by(Payers({"gone": "xy"}))
    book.put(make_hold(1, 10, 5, mode="gone", group="xy"))
    book.put(settle(make_hold(2, 7, mode="gone", group="xy"), NOON + MINUTE, paid_at=NOON + MINUTE))
    assert book.take_changes().accounts == {"xy": accounts_of("xy")}
    return book


def test_promises_count_on_all_who_have_some_of_their_accounts_when_their_mode_is_gone() -> None:
    book = left_behind()
    book.group_by(Payers({"a": "x", "b": "y", "c": "z"}))
    assert [book.totals.held(group, read(100)) for group in ("x", "y", "z")] == [17, 17, 0]
    assert [book.totals.held(group, read(93, NOON + MINUTE)) for group in ("x", "y")] == [10, 10]
    paid = [book.paid_apart(group, read(100), read(93, NOON + MINUTE)) for group in ("x", "y", "z")]
    assert paid == [7, 7, 0]
    assert [book.totals.waiting(group) for group in ("x", "y")] == 2 * [[book.find("h-1")]]
    assert book.totals.stand(book.find("h-1")) == (1, 0)
    book.rest_on("x", read(93, NOON + MINUTE))
    (arrived,) = book.believe("x", read(98, NOON + 2 * MINUTE))
    assert (arrived.arrived, book.totals.waiting("y"), book.totals.held("y", read(93, NOON + MINUTE))) == (5, [], 15)
    book.put(cancel(arrived, NOON + 2 * MINUTE))
    book.take_changes()
    for days in (0, 1):
        book.forget(NOON + timedelta(days=days), MINUTE)
    assert (len(book), book.totals.held("x", read(100)), book.totals.held("y", read(100))) == (0, 0, 0)


def test_promises_are_its_modes_again_when_it_is_back() -> None:
    book = left_behind()
    book.group_by(Payers({"a": "x"}))
    book.group_by(Payers({"gone": "xy", "c": "z"}))
    assert [book.totals.held(group, read(100)) for group in ("x", "xy", "z")] == [0, 17, 0]
    assert (book.totals.owed("gone", NOON), book.totals.queued("gone")) == (22, 5)
    assert book.totals.paid_between("gone", read(100), read(93, NOON + MINUTE)) == 7


def test_promises_of_accounts_that_nobody_knows_count_where_they_were_made() -> None:
    book = HoldBook()
    book.group_by(Payers({"a": "x", "b": "xy"}))
    book.put(make_hold(1, 10, mode="gone", group="xy"))
    assert (book.totals.held("x", read(100)), book.totals.held("xy", read(100))) == (0, 10)


def test_mode_owes_nothing_in_its_currency_of_what_it_promised_in_another() -> None:
    book = left_behind()
    book.group_by(Payers({"gone": "xy"}))
    foreign = replace(make_hold(3, 20, 1, mode="gone", group="xy"), currency="ETH")
    book.put(foreign)
    book.put(settle(replace(make_hold(4, 3, mode="gone", group="xy"), currency="ETH"), NOON, paid_at=NOON + MINUTE))
    assert (book.totals.owed("gone", NOON), book.totals.queued("gone")) == (22, 5)
    assert book.totals.held("xy", read(100)) == 17 + 20 + 3
    assert book.totals.paid_between("gone", read(100), read(90, NOON + MINUTE)) == 7


def test_open_promise_that_goes_along_is_stored_where_it_is() -> None:
    book = left_behind()
    book.group_by(Payers({"gone": "z"}))
    changes = book.take_changes()
    assert [(hold.id, hold.group) for hold in changes.holds] == [("h-1", "z")]
    assert changes.accounts == {"z": accounts_of("z")}
    book.regroup()
    assert not book.changed


class BookMachine(RuleBasedStateMachine):
    """Arbitrary histories of holds in two groups, with sums compared to those of a plain loop."""

    def __init__(self) -> None:
        super().__init__()
        self.book = HoldBook(lambda _: True)
        self.lives: dict[str, Hold] = {}
        self.now = 0

    @rule(group=st.sampled_from("ab"), from_reserve=st.integers(0, 50), unwound=st.integers(0, 50))
    def accept(self, group: str, from_reserve: int, unwound: int) -> None:
        hold = make_hold(self.book.last_position + 1, from_reserve, unwound, mode=group)
        self.book.put(hold)
        self.lives[hold.id] = hold
        self.book.rest_on(group, read(100, NOON + timedelta(seconds=self.now), self.now))

    @rule(pick=st.integers(0), how=st.sampled_from(["pay", "block", "time", "cancel"]))
    def change(self, pick: int, how: str) -> None:
        alive = [hold for hold in self.lives.values() if hold.open]
        if not alive:
            return
        hold, now = alive[pick % len(alive)], NOON + timedelta(seconds=self.now)
        if how == "pay":
            hold = mark_paying(hold)
        elif how == "cancel":
            hold = cancel(hold, now)
        else:
            hold = settle(hold, now, **({"block": self.now} if how == "block" else {"paid_at": now}))
        self.book.put(hold)
        self.lives[hold.id] = hold

    @rule(seconds=st.integers(1, 30), group=st.sampled_from("ab"), balance=st.integers(-50, 300))
    def see(self, seconds: int, group: str, balance: int) -> None:
        self.now += seconds
        reading = read(balance, NOON + timedelta(seconds=self.now), self.now)
        promised = self.book.totals.held(group, reading)
        for hold in self.book.believe(group, reading):
            assert 0 <= hold.arrived <= hold.unwound
            self.lives[hold.id] = hold
        assert self.book.totals.held(group, reading) == promised, "what is held does not depend on when it is believed"

    @rule()
    def forget(self) -> None:
        self.book.take_changes()
        self.book.forget(NOON + timedelta(seconds=self.now), timedelta(seconds=60))
        gone = {hold_id for hold_id, hold in self.lives.items() if self.book.find(hold_id) is None}
        assert not any(self.lives[hold_id].open for hold_id in gone)
        for hold_id in gone:
            del self.lives[hold_id]

    @invariant()
    def sums_are_those_of_a_loop(self) -> None:
        for group in "ab":
            waiting = [hold for hold in self.lives.values() if hold.mode == group and hold.outstanding]
            assert self.book.totals.waiting(group) == waiting
            first_short = next((index for index, hold in enumerate(waiting) if hold.outstanding), len(waiting))
            assert not any(hold.arrived for hold in waiting[first_short + 1 :]), "first come, first served"
            for seconds, block in ((0, None), (self.now, None), (self.now, self.now), (self.now // 2, self.now // 3)):
                reading = read(-(10**6), NOON + timedelta(seconds=seconds), block)  # so little that nothing arrives
                shown = [hold for hold in self.lives.values() if hold.mode == group and is_shown(hold, reading)]
                assert self.book.totals.held(group, reading) == sum(hold.held for hold in shown)
                assert self.book.totals.paid_of(group, reading) == sum(hold.held for hold in shown if not hold.open)
            owed = sum(hold.amount for hold in self.lives.values() if hold.mode == group and hold.open)
            assert self.book.totals.owed(group, NOON + timedelta(seconds=self.now)) == owed


TestBook = BookMachine.TestCase
TestBook.settings = settings(max_examples=60, stateful_step_count=40)
