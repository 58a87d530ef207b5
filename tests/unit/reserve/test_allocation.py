"""How a shared account is split, in numbers."""

from decimal import Decimal

import pytest

from reservd.reserve.allocation import SharedBalance, allocate
from reservd.reserve.amounts import from_units, to_units
from support.sharing import DEDICATED, PRIORITY, PRO_RATA, bounds, make_sharer, parts_of, split


def amounts(*numbers: object) -> list[Decimal]:
    return [Decimal(str(number)) for number in numbers]


def test_each_gets_the_same_when_three_lack_the_same() -> None:
    assert parts_of(split(6000, [make_sharer(5000)] * 3)) == amounts(2000, 2000, 2000)


def test_parts_follow_what_lacks_when_some_have_accounts_of_their_own() -> None:
    sharers = [make_sharer(5000, 4000), make_sharer(5000), make_sharer(5000, 7000)]
    assert parts_of(split(3000, sharers)) == amounts(500, 2500, 0)


def test_total_has_what_a_mode_has_of_its_own() -> None:
    (first, _) = split(3000, [make_sharer(5000, 4000), make_sharer(5000)])
    assert first.total == bounds(4500)


def test_surplus_goes_by_target_when_all_are_at_theirs() -> None:
    assert parts_of(split(900, [make_sharer(100), make_sharer(200, 200)])) == amounts(
        "366.666666666666666667", "533.333333333333333333"
    )


@pytest.mark.parametrize("method", [PRO_RATA, PRIORITY])
def test_parts_are_equal_when_all_targets_are_0(method: object) -> None:
    sharers = [make_sharer(0, own, priority=1) for own in (0, 5, 7)]
    assert parts_of(split(9, sharers, method)) == amounts(3, 3, 3)


def test_last_unit_goes_to_the_first_when_it_cannot_be_divided() -> None:
    assert parts_of(split("0.1", [make_sharer(1)] * 3)) == amounts(
        "0.033333333333333334", "0.033333333333333333", "0.033333333333333333"
    )


def test_parts_are_as_fine_as_amounts_when_those_are_finer_than_a_token() -> None:
    unit = Decimal("1e-30")
    assert parts_of(split(3 * unit, [make_sharer(1)] * 2)) == [2 * unit, unit]


def test_first_is_served_first_when_split_by_priority() -> None:
    sharers = [make_sharer(5000, priority=2), make_sharer(5000, priority=1), make_sharer(5000, priority=2)]
    assert parts_of(split(6000, sharers, PRIORITY)) == amounts(500, 5000, 500)


def test_debt_is_borne_by_target() -> None:
    sharers = [make_sharer(100, priority=1), make_sharer(300, priority=2)]
    assert parts_of(split(-80, sharers, PRIORITY)) == amounts(-20, -60)


def test_debt_is_borne_equally_when_all_targets_are_0() -> None:
    assert parts_of(split(-80, [make_sharer(0), make_sharer(0)])) == amounts(-40, -40)


def test_debt_of_uncertain_targets_is_all_of_one_or_of_another() -> None:
    """Whether the first bears all of the debt or half of it decides what is left for the third, who has no part in the
    debt.
    """
    balances = [SharedBalance(bounds(-1), (0, 1)), SharedBalance(bounds(1), (0, 2))]
    told = allocate(balances, [make_sharer((0, 1)), make_sharer(0), make_sharer(0)], PRO_RATA)
    truth = allocate(balances, [make_sharer(0)] * 3, PRO_RATA)
    assert [each.total for each in truth] == [bounds("0.25"), bounds("-0.5"), bounds("0.25")]
    assert [each.total for each in told] == [bounds((0, 1)), bounds((-1, 0)), bounds((0, "0.5"))]


def test_dedicated_debt_is_borne_by_what_is_dedicated_whatever_was_given_before() -> None:
    balances = [SharedBalance(bounds(30), (0, 1)), SharedBalance(bounds(-8), (0, 1))]
    a, b = allocate(balances, [make_sharer(1, amount=30), make_sharer(1, amount=10)], DEDICATED)
    assert ([*a.parts], [*b.parts]) == (amounts("22.5", -6), amounts("7.5", -2))


def test_dedicated_parts_have_bounds_when_an_account_that_others_are_given_from_cannot_be_read() -> None:
    """If they get their full amounts there, this one is left to the third; if nothing, they need parts of it."""
    balances = [SharedBalance(bounds((0, None)), (0, 1)), SharedBalance(bounds(60), (0, 1, 2))]
    *_, third = allocate(balances, [make_sharer(1, amount=40)] * 3, DEDICATED)
    assert third.total == bounds((20, 40))
    owing = [SharedBalance(bounds((None, None)), (0, 1)), balances[1]]
    *_, third = allocate(owing, [make_sharer(1, amount=40)] * 3, DEDICATED)
    assert third.total == bounds((0, 40))


def test_dedicated_parts_are_as_configured_and_the_rest_is_nobodys() -> None:
    sharers = [make_sharer(9999, amount=1000), make_sharer(1, ratio="0.25"), make_sharer(1, 500, amount=0)]
    assert parts_of(split(6000, sharers, DEDICATED)) == amounts(1000, 1500, 0)


def test_dedicated_parts_are_cut_in_proportion_when_there_is_not_enough() -> None:
    assert parts_of(split(900, [make_sharer(1, amount=1000), make_sharer(1, amount=500)], DEDICATED)) == amounts(
        600, 300
    )


def test_debt_is_borne_by_whom_the_account_is_dedicated_to() -> None:
    assert parts_of(split(-90, [make_sharer(1, ratio="0.4"), make_sharer(1, ratio="0.2")], DEDICATED)) == amounts(
        -60, -30
    )


def test_dedicated_amount_is_of_all_accounts_together() -> None:
    balances = [SharedBalance(bounds(600), (0, 1)), SharedBalance(bounds(1000), (0, 1))]
    first, second = allocate(balances, [make_sharer(1, amount=1000), make_sharer(1, ratio="0.1")], DEDICATED)
    assert first.parts == tuple(amounts("566.037735849056603774", "433.962264150943396226"))
    assert second.parts == tuple(amounts("33.962264150943396226", 100))


def test_dedicated_parts_are_certain_when_nothing_is_known_of_the_others() -> None:
    sharers = [make_sharer((0, None), (None, None), ratio="0.7"), make_sharer(5000, 100, ratio="0.7")]
    unknown, known = split(100, sharers, DEDICATED)
    assert (known.parts, known.total) == ((Decimal(50),), bounds(150))
    assert (unknown.parts, unknown.total) == ((Decimal(50),), bounds((None, None)))


def test_later_account_is_split_by_what_lacks_after_the_earlier_one() -> None:
    sharers = [make_sharer(100), make_sharer(100), make_sharer(100)]
    balances = [SharedBalance(bounds(120), (0, 1)), SharedBalance(bounds(140), (1, 2))]
    one, two, three = allocate(balances, sharers, PRO_RATA)
    assert one.parts == (60, 0)
    assert two.parts == (60, 40)
    assert three.parts == (0, 100)


def test_others_get_bounds_when_a_sharer_is_unknown() -> None:
    """Its target is between 0 and 1.25 of its last good one."""
    unknown = make_sharer((0, 1250))
    known, other, itself = split(1000, [make_sharer(500), make_sharer(750, 500), unknown])
    assert known.parts == (None,)
    assert (known.total, other.total) == (bounds((250, 600)), bounds((625, 900)))
    assert itself.total == bounds((0, 625))


def test_nothing_is_certain_to_be_there_when_a_sharer_was_never_known() -> None:
    known, unknown = split(1000, [make_sharer(400, 50), make_sharer((0, None))])
    assert known.total == bounds((50, 1050))
    assert unknown.total == bounds((0, 1000))


def test_earlier_mode_is_certain_when_an_unknown_one_comes_after_it() -> None:
    first, unknown = split(1000, [make_sharer(1200, priority=1), make_sharer((0, None), priority=2)], PRIORITY)
    assert first.total == bounds(1000)
    assert unknown.parts == (0,)


def test_both_ends_are_split_when_the_balance_itself_is_bounds() -> None:
    first, second = split((300, 600), [make_sharer(100, priority=1), make_sharer(400, priority=2)], PRIORITY)
    assert first.parts == (None,)
    assert (first.total, second.total) == (bounds((100, 120)), bounds((200, 480)))


def test_nothing_is_certain_when_the_balance_may_be_anything() -> None:
    first, second = split((None, None), [make_sharer(100, 30), make_sharer(400)])
    assert (first.total, second.total) == (bounds((None, None)), bounds((None, None)))
    least, _ = split((0, None), [make_sharer(100, 30), make_sharer(400)])
    assert least.total == bounds((30, None))


def test_what_follows_an_unread_account_is_bounded_by_both_ends() -> None:
    balances = [SharedBalance(bounds((0, None)), (0, 1)), SharedBalance(bounds(100), (0, 2))]
    first, _, third = allocate(balances, [make_sharer(100), make_sharer(100), make_sharer(100)], PRO_RATA)
    assert first.total == bounds((50, None))
    assert third.total == bounds((50, 100))
    owing = [SharedBalance(bounds((None, 0)), (0, 1)), balances[1]]
    first, _, third = allocate(owing, [make_sharer(100), make_sharer(100), make_sharer(100)], PRO_RATA)
    assert first.total == bounds((None, 50))
    assert third.total == bounds((0, 50))


def test_doubted_sharer_is_certain_of_itself_and_bounds_for_the_others() -> None:
    """The mode itself uses the doubted reading; the others use bounds that include the old and the new one."""
    doubted = make_sharer(1000, reckoned_target=(500, 1000))
    other, itself = split(900, [make_sharer(500), doubted])
    assert itself.total == bounds(600)
    assert other.total == bounds((300, 450))


def test_doubted_sharer_is_bounded_too_when_another_one_is_in_doubt() -> None:
    one, other = [make_sharer(1000, reckoned_target=(500, 1000)) for _ in range(2)]
    first, _ = split(900, [one, other])
    assert first.total == bounds((450, 600))


@pytest.mark.parametrize(
    ("units", "places", "text"), [(6000, 0, "6000"), (2500, 3, "2.5"), (0, 18, "0"), (-5, 2, "-0.05")]
)
def test_units_are_amounts_without_zeros_at_their_end(units: int, places: int, text: str) -> None:
    amount = from_units(units, places)
    assert str(amount) == text
    assert to_units(amount, places) == units
