"""On which accounts a hold counts, and which accounts may have holds that cannot be read."""

from reservd.reserve.holds.places import HoldPlaces, UnreadableHold
from support.holds import Payers, accounts_of

UNREADABLE = UnreadableHold("h-1", "gone", "k-1", "xy")


def test_nothing_is_in_doubt_while_every_hold_can_be_read() -> None:
    places = HoldPlaces()
    assert not places.any_unreadable
    assert not places.is_unreadable("h-1")
    assert not places.in_doubt("xy", ["m"])


def test_accounts_are_in_doubt_that_a_hold_which_cannot_be_read_may_be_off() -> None:
    """The accounts of its mode and of the hold itself, and all modes that have any of these now; no others."""
    places = HoldPlaces()
    places.load({"xy": accounts_of("xy")})
    places.leave_out(UNREADABLE)
    places.grouping = Payers({"a": "x", "b": "z"})
    assert places.any_unreadable
    assert places.is_unreadable("h-1")
    assert not places.is_unreadable("h-2")
    assert places.in_doubt("other", ["gone"])
    assert places.in_doubt("xy", ["a"])
    assert places.in_doubt("x", ["a"])
    assert not places.in_doubt("z", ["b"])


def test_only_its_own_group_is_in_doubt_while_nobody_tells_who_is_paid_from_where() -> None:
    places = HoldPlaces()
    places.load({"xy": accounts_of("xy")})
    places.leave_out(UNREADABLE)
    assert places.in_doubt("xy", ["m"])
    assert not places.in_doubt("x", ["m"])
