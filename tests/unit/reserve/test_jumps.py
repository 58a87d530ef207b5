from decimal import Decimal

import pytest

from reservd.reserve.jumps import agrees, at_least, has_jumped
from support.reserve import DEBT_NOT_READ, NOT_READ, make_policy, make_snapshot

POLICY = make_policy()
HALF = Decimal("0.5")


def jumped(
    balance: object, equity: object, *amounts: object, now_equity: object = 1000, max_jump: object = HALF
) -> bool:
    before = [Decimal(str(amount)) if amount is not None else None for amount in (balance, equity)]
    snapshot = make_snapshot(POLICY, *amounts, equity=now_equity)
    return has_jumped(before[0], before[1], (), snapshot, Decimal(str(max_jump)))


@pytest.mark.parametrize(
    ("before", "after", "jump"),
    [
        (100, 150, False),
        (100, "150.01", True),
        (100, 50, False),
        (100, "49.99", True),
        (100, 0, True),
        (100, -1, True),
        (-100, -150, False),
        (-100, -151, True),
        (-100, -49, True),
        (-100, 100, True),
        (0, 0, False),
        (0, "0.000001", True),
        (None, 5, False),
    ],
)
def test_balance_jumps_when_it_moves_by_more_than_half_of_the_last(before: object, after: object, jump: bool) -> None:
    assert jumped(before, 1000, after) is jump


@pytest.mark.parametrize(
    ("before", "after", "jump"),
    [(1000, 1500, False), (1000, 1501, True), (1000, 499, True), (1000, 0, True), (0, 1, True), (None, 7, False)],
)
def test_equity_jumps_when_it_moves_by_more_than_half_of_the_last(before: object, after: object, jump: bool) -> None:
    assert jumped(100, before, 100, now_equity=after) is jump


@pytest.mark.parametrize("after", [0, -1])
def test_fall_to_zero_is_a_jump_when_any_other_move_is_allowed(after: object) -> None:
    """Rubbish is most often a 0; a mode that allows tenfold moves does not mean that one."""
    assert jumped(100, 1000, after, max_jump=10)
    assert not jumped(100, 1000, "0.01", max_jump=10)


def test_equity_that_is_unknown_is_no_jump() -> None:
    assert not has_jumped(Decimal(100), Decimal(1000), (), make_snapshot(POLICY, 100, equity=None), HALF)


@pytest.mark.parametrize(("amount", "jump"), [(1, False), (100, False), (150, False), (151, True)])
def test_part_of_a_balance_jumps_only_when_it_is_more_than_the_whole_was(amount: int, jump: bool) -> None:
    snapshot = make_snapshot(POLICY, amount, missing=[NOT_READ])
    assert has_jumped(Decimal(100), Decimal(1000), (), snapshot, HALF) is jump


def test_balance_of_which_nothing_is_certain_is_no_jump() -> None:
    snapshot = make_snapshot(POLICY, 5, missing=[DEBT_NOT_READ])
    assert at_least(snapshot) is None
    assert not has_jumped(Decimal(100), Decimal(1000), (), snapshot, HALF)


@pytest.mark.parametrize(("first", "second", "agree"), [(0, 0, True), (0, 1, False), (10, 14, True), (10, 16, False)])
def test_second_reading_agrees_when_it_is_near_the_first(first: int, second: int, agree: bool) -> None:
    assert agrees(make_snapshot(POLICY, first), make_snapshot(POLICY, second), HALF) is agree


def test_second_reading_disagrees_when_only_its_equity_is_elsewhere() -> None:
    assert not agrees(make_snapshot(POLICY, 10, equity=10), make_snapshot(POLICY, 10, equity=1000), HALF)


def test_nothing_agrees_when_nothing_was_doubted() -> None:
    assert not agrees(None, make_snapshot(POLICY, 100), HALF)


@pytest.mark.parametrize(
    ("before", "after", "jump"),
    [((60, 60), (60, 0), True), ((100, 5), (100, 0), True), ((60, 0), (61, 0), False), ((60, 60), (119, 1), False)],
)
def test_one_account_of_several_jumps_when_it_falls_to_zero(before: tuple[int, ...], after: object, jump: bool) -> None:
    """However little of the whole it is; money that moves between accounts is no jump."""
    parts = tuple(map(Decimal, before))
    snapshot = make_snapshot(POLICY, *after)  # type: ignore[misc]
    assert has_jumped(sum(parts, Decimal(0)), Decimal(1000), parts, snapshot, HALF) is jump


def test_accounts_are_not_compared_when_they_are_other_accounts() -> None:
    snapshot = make_snapshot(POLICY, 60, 0, 60)
    assert not has_jumped(Decimal(120), Decimal(1000), (Decimal(60), Decimal(60)), snapshot, HALF)
