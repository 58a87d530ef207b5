"""Which accounts the holds come off, however much of them could be read."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.amounts import add
from reservd.reserve.models import Bounds
from reservd.reserve.placement import place_holds
from support.sharing import bounds, total_of

ROUNDS = settings(max_examples=200)
AMOUNTS = st.integers(-50, 50).map(Decimal) | st.decimals("-1e30", "1e30", places=18)
CREDITS = AMOUNTS.map(abs)


@pytest.mark.parametrize(
    ("held", "amounts", "expected"),
    [
        (1500, [6000], [(1500, 4500)]),
        (180, [100], [(180, -80)]),
        (120, [40, -5, 100], [(40, 0), (0, -5), (80, 20)]),
        (80, [(0, None), 100], [((0, 80), (0, None)), ((0, 80), (20, 100))]),
        (80, [100, (0, None)], [(80, 20), (0, (0, None))]),
        (80, [(30, 50), 100], [((30, 50), 0), ((30, 50), (50, 70))]),
        (80, [(None, None), 10], [((0, 80), (None, None)), ((0, 80), (-70, 10))]),
        (80, [(None, 20), 100], [((0, 20), (None, 0)), ((60, 80), (20, 40))]),
        (0, [(0, None), 10], [(0, (0, None)), (0, 10)]),
    ],
)
def test_each_account_bears_what_those_before_it_do_not_cover(
    held: int, amounts: list[object], expected: list[tuple[object, object]]
) -> None:
    placements = place_holds(Decimal(held), [bounds(amount) for amount in amounts])
    assert placements == [(bounds(off), bounds(left)) for off, left in expected]


@given(CREDITS, st.lists(AMOUNTS, min_size=1, max_size=4))
@ROUNDS
def test_what_is_held_comes_off_once_when_all_is_known(held: Decimal, amounts: list[Decimal]) -> None:
    placements = place_holds(held, [Bounds(amount, amount) for amount in amounts])
    assert total_of([off.lower for off, _ in placements]) == held  # type: ignore[misc]
    for (off, left), amount in zip(placements, amounts, strict=True):
        assert off.lower == off.upper
        assert left.lower == left.upper
        assert add(off.lower, left.lower) == amount  # type: ignore[arg-type]


@given(CREDITS, st.lists(st.tuples(AMOUNTS, CREDITS, CREDITS, st.booleans(), st.booleans()), min_size=1, max_size=4))
@ROUNDS
def test_truth_lies_within_whatever_is_not_certain(
    held: Decimal, accounts: list[tuple[Decimal, Decimal, Decimal, bool, bool]]
) -> None:
    truth = place_holds(held, [Bounds(amount, amount) for amount, *_ in accounts])
    known = place_holds(
        held,
        [
            Bounds(add(amount, -below) if has_lower else None, add(amount, above) if has_upper else None)
            for amount, below, above, has_lower, has_upper in accounts
        ],
    )
    for actual, told in zip(truth, known, strict=True):
        for (exact, _), (lower, upper) in zip(actual, told, strict=True):
            assert exact is not None
            assert lower is None or lower <= exact
            assert upper is None or upper >= exact
