"""From which accounts holds are subtracted, however many of these could be read."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.amounts import add
from reservd.reserve.models import Bounds
from reservd.reserve.placement import Reach, place_holds, reach_of
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
    placements, _ = place_holds(Decimal(held), [bounds(amount) for amount in amounts])
    assert list(placements) == [(bounds(off), bounds(left)) for off, left in expected]


@pytest.mark.parametrize(
    ("held", "amounts", "own", "expected"),
    [
        (60, [100], [(60, 60)], [(60, 40), 0]),
        (5000, [100], [(5000, 5000)], [(100, 0), 4900]),
        (5000, [100, 50], [(0, 0), (3000, 3000)], [(100, 0), (1900, -1850), 0, 3000]),
        (500, [100], [(300, 300), (200, 200)], [(100, 0), 300, 100]),
        (500, [(0, None)], [(500, 500)], [((0, 500), (0, None)), (0, 500)]),
        (500, [(None, 100)], [(500, 500)], [((0, 100), (None, 0)), (400, 500)]),
        (500, [100], [(0, 500)], [((100, 500), (-400, 0)), (0, 400)]),
    ],
)
def test_rest_comes_off_the_own_accounts_of_those_who_promised_it(
    held: int, amounts: list[object], own: list[tuple[int, int]], expected: list[object]
) -> None:
    shared, rest = place_holds(
        Decimal(held), [bounds(amount) for amount in amounts], [Reach(*map(Decimal, ends)) for ends in own]
    )
    assert (
        [*((off, left) for off, left in shared), *rest]
        == [
            *((bounds(off), bounds(left)) for off, left in expected[: len(shared)]),  # type: ignore[misc]
            *map(bounds, expected[len(shared) :]),
        ]
    )


@pytest.mark.parametrize(
    ("promised", "own", "expected"),
    [
        (30, [20, 5], (25, 25)),
        (10, [20], (10, 10)),
        (30, [20, -50], (20, 20)),
        (30, [20, (0, None)], (20, 30)),
        (30, [(None, None)], (0, 30)),
        (30, [], (0, 0)),
    ],
)
def test_own_accounts_bear_what_they_hold_and_their_mode_promised(
    promised: int, own: list[object], expected: tuple[int, int]
) -> None:
    assert reach_of(Decimal(promised), map(bounds, own)) == expected


def test_nothing_comes_off_own_accounts_when_none_is_shared() -> None:
    assert place_holds(Decimal(5), [], [Reach(Decimal(5), Decimal(5))]) == ((), (bounds(0),))


OWN = st.lists(st.tuples(CREDITS, AMOUNTS, CREDITS, st.booleans()), max_size=3)


@given(CREDITS, st.lists(AMOUNTS, min_size=1, max_size=4), OWN)
@ROUNDS
def test_what_is_held_comes_off_once_when_all_is_known(
    held: Decimal, amounts: list[Decimal], own: list[tuple[Decimal, Decimal, Decimal, bool]]
) -> None:
    reaches = [reach_of(promised, [Bounds(amount, amount)]) for promised, amount, *_ in own]
    placements, rest = place_holds(held, [Bounds(amount, amount) for amount in amounts], reaches)
    assert total_of([off.lower for off, _ in placements] + [off.lower for off in rest]) == held  # type: ignore[misc]
    for off, reach in zip(rest, reaches, strict=True):
        assert off.lower == off.upper <= reach.far  # type: ignore[operator]
    for (off, left), amount in zip(placements, amounts, strict=True):
        assert off.lower == off.upper
        assert left.lower == left.upper
        assert add(off.lower, left.lower) == amount  # type: ignore[arg-type]


@given(
    CREDITS, st.lists(st.tuples(AMOUNTS, CREDITS, CREDITS, st.booleans(), st.booleans()), min_size=1, max_size=4), OWN
)
@ROUNDS
def test_truth_lies_within_whatever_is_not_certain(
    held: Decimal,
    accounts: list[tuple[Decimal, Decimal, Decimal, bool, bool]],
    own: list[tuple[Decimal, Decimal, Decimal, bool]],
) -> None:
    truth = place_holds(
        held,
        [Bounds(amount, amount) for amount, *_ in accounts],
        [reach_of(promised, [Bounds(amount, amount)]) for promised, amount, *_ in own],
    )
    known = place_holds(
        held,
        [
            Bounds(add(amount, -below) if has_lower else None, add(amount, above) if has_upper else None)
            for amount, below, above, has_lower, has_upper in accounts
        ],
        [
            reach_of(promised, [Bounds(add(amount, -apart), add(amount, apart) if has_upper else None)])
            for promised, amount, apart, has_upper in own
        ],
    )
    told = [*(each for placement in known.shared for each in placement), *known.own]
    for (exact, _), (lower, upper) in zip(
        [*(each for placement in truth.shared for each in placement), *truth.own], told, strict=True
    ):
        assert exact is not None
        assert lower is None or lower <= exact
        assert upper is None or upper >= exact
