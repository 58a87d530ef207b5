from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.jumps import Worth, agrees, at_least, has_jumped, is_second_look, worth_of
from reservd.reserve.models import Observation, ReserveSnapshot
from reservd.reserve.policy import Missing
from reservd.reserve.readings import Component, Price
from support.reserve import (
    DEBT_NOT_READ,
    NOON,
    NOT_READ,
    Watched,
    find,
    make_balance,
    make_equity,
    make_policy,
    make_snapshot,
)

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
    """A 0 is the most common wrong reading; a limit of tenfold moves is not meant to include it."""
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
    """However small its share of the total; a transfer between accounts is no jump."""
    parts = tuple(map(Decimal, before))
    snapshot = make_snapshot(POLICY, *after)  # type: ignore[misc]
    assert has_jumped(sum(parts, Decimal(0)), Decimal(1000), parts, snapshot, HALF) is jump


@pytest.mark.parametrize(
    ("before", "after", "jump"),
    [
        ({"vault": 1, "cash": 999}, {"vault": 0, "cash": 999}, True),
        ({"loan": -1, "cash": 1001}, {"loan": 0, "cash": 1001}, True),
        ({"vault": 0, "cash": 1000}, {"vault": 0, "cash": 999}, False),
        ({"vault": 0, "cash": 1000}, {"vault": 1, "cash": 999}, False),
        ({"vault": 1, "cash": 999}, {"cash": 999}, False),
        ({"cash": 1000}, {"cash": 1000, "vault": 0}, False),
        ({"vault": 1, "cash": 999}, {}, False),
    ],
)
def test_one_part_of_the_equity_jumps_when_it_is_zero(
    before: dict[str, int], after: dict[str, int], jump: bool
) -> None:
    """However little of the whole it is; one that is not listed any more may have ended."""
    then, now = (_made_of(parts) for parts in (before, after))
    assert has_jumped(Decimal(100), then.total_equity, (), now, HALF, then.equity_parts) is jump
    assert agrees(then, now, HALF) is not jump


def _made_of(parts: dict[str, int]) -> ReserveSnapshot:
    amounts = {name: Decimal(amount) for name, amount in parts.items()}
    return find(POLICY, make_equity(sum(amounts.values()) or 1000, components=amounts), [make_balance(100)])


def make_worth(*, unlisted: int = 0, whole_at: float = 0, **parts: tuple[int, float]) -> Worth:
    """Return an equity of parts, each its amount and the seconds after noon when it was observed."""
    components = {name: Component(Decimal(worth), NOON + timedelta(seconds=at)) for name, (worth, at) in parts.items()}
    total = sum(worth for worth, _ in parts.values()) + unlisted
    at = NOON + timedelta(seconds=whole_at)
    return worth_of(find(POLICY, make_equity(total, at=at, components=components), [make_balance(100)]))


@pytest.mark.parametrize(
    ("vault_at", "cash_at", "follows"), [(1, 0, True), (1, -1, True), (0, 1, False), (-1, 1, False)]
)
def test_parts_of_the_equity_that_jumped_must_be_observed_anew(vault_at: float, cash_at: float, follows: bool) -> None:
    believed, doubted = make_worth(vault=(100, -9), cash=(900, -9)), make_worth(vault=(0, 0), cash=(901, 0))
    now = make_worth(vault=(0, vault_at), cash=(901, cash_at), whole_at=min(vault_at, cash_at))
    assert now.follows(doubted, believed, HALF) is follows


@pytest.mark.parametrize(
    ("loan_at", "cash_at", "follows"), [(1, 1, True), (0, 1, False), (1, 0, False), (1, -1, False)]
)
def test_large_part_of_the_equity_that_moved_little_must_be_observed_anew_if_that_is_a_jump_of_the_whole(
    loan_at: float, cash_at: float, follows: bool
) -> None:
    """A debt makes the equity small beside its parts, and a small part jumped as well."""
    believed = make_worth(loan=(1000, -9), debt=(-900, -9), cash=(1, -9))
    doubted = make_worth(loan=(940, 0), debt=(-900, 0), cash=(2, 0))
    now = make_worth(loan=(940, loan_at), debt=(-900, 1), cash=(2, cash_at))
    assert now.follows(doubted, believed, HALF) is follows


@pytest.mark.parametrize(("loan_at", "follows"), [(1, True), (0, False)])
def test_part_of_the_equity_that_is_repeated_keeps_none_in_doubt_if_it_moved_little(
    loan_at: float, follows: bool
) -> None:
    believed, doubted = make_worth(loan=(1000, -9), debt=(-900, -9)), make_worth(loan=(940, 0), debt=(-901, 0))
    assert make_worth(loan=(940, loan_at), debt=(-901, 0)).follows(doubted, believed, HALF) is follows


@pytest.mark.parametrize("whole_at", [0, 1])
@pytest.mark.parametrize(
    "now",
    [
        {"vault": (0, 1), "cash": (900, 1), "unlisted": 5},
        {"vault": (0, 1), "bond": (900, 1)},
        {"vault": (100, 1), "cash": (900, 1)},
        {},
    ],
    ids=["they do not add up", "they are others", "none has changed", "there are none"],
)
def test_equity_must_be_observed_anew_as_a_whole_when_its_parts_do_not_explain_it(now: Any, whole_at: float) -> None:
    believed, doubted = make_worth(vault=(100, -9), cash=(900, -9)), make_worth(vault=(0, 0), cash=(900, 0))
    assert make_worth(**now, whole_at=whole_at).follows(doubted, believed, HALF) is (whole_at > 0)


def test_part_of_the_equity_is_as_old_as_its_oldest_price() -> None:
    then, later = NOON - timedelta(seconds=9), NOON - timedelta(seconds=5)
    parts = {
        "ether": Component(Decimal(1), NOON, Price("ETH", "USDT", Decimal(3000), then), later),
        "fund": Component(Decimal(1), NOON, priced_at=later),
        "cash": Component(Decimal(1), NOON),
        "rest": Decimal(1),
        "malformed": Component(Decimal(1), NOON, priced_at=datetime(2026, 1, 5)),  # noqa: DTZ001
    }
    found = find(POLICY, make_equity(4, at=later, priced_at=then, components=parts), [make_balance(1)]).equity_parts
    assert found is not None
    assert found.names == ("ether", "fund", "cash", "rest")
    assert [each.observed_at for each in found.seen] == [then, later, NOON, then]


def test_accounts_are_not_compared_when_they_are_other_accounts() -> None:
    snapshot = make_snapshot(POLICY, 60, 0, 60)
    assert not has_jumped(Decimal(120), Decimal(1000), (Decimal(60), Decimal(60)), snapshot, HALF)


def seen(*amounts: object, equity: object = 1000, at: Sequence[float] = (), equity_at: float = 0) -> ReserveSnapshot:
    """Return the result of a check of accounts that were observed so many seconds after noon."""
    moments = [NOON + timedelta(seconds=seconds) for seconds in at]
    return find(
        POLICY,
        make_equity(equity, at=NOON + timedelta(seconds=equity_at)),
        [make_balance(amount, at=moment) for amount, moment in zip(amounts, moments, strict=True)],
        (),
    )


def is_second(doubted: ReserveSnapshot, snapshot: ReserveSnapshot, *parts: int, equity: object = 1000) -> bool:
    """Whether a snapshot confirms the jump of another one from these amounts."""
    return is_second_look(doubted, snapshot, Decimal(str(equity)), tuple(map(Decimal, parts)), HALF)


@pytest.mark.parametrize(("at", "second"), [(0, False), (-1, False), (0.001, True)])
def test_second_look_is_a_newer_observation_of_what_jumped(at: float, second: bool) -> None:
    assert is_second(seen(0, at=[0]), seen(0, at=[at]), 100) is second
    assert is_second(seen(100, equity=10, at=[0]), seen(100, equity=10, at=[0], equity_at=at), 100) is second


def test_what_did_not_jump_need_not_be_observed_anew() -> None:
    first = seen(0, 50, at=[0, 0])
    assert is_second(first, seen(0, 50, at=[1, 0]), 100, 50)
    assert is_second(first, seen(0, 51, at=[1, 0]), 100, 50), "it moved by less than a jump"
    assert not is_second(first, seen(0, 50, at=[0, 1], equity_at=1), 100, 50)
    assert is_second(seen(100, equity=10, at=[0]), seen(100, equity=10, at=[0], equity_at=1), 100)


def test_all_that_changed_is_observed_anew_when_they_jumped_together_only() -> None:
    """-60 and 100 are 40 together; -85 and 70, neither of which is a jump, are a debt together."""
    first = seen(-85, 70, 5, at=[0, 0, 0])
    assert not is_second(first, seen(-85, 70, 5, at=[1, 0, 1]), -60, 100, 5)
    assert is_second(first, seen(-85, 70, 5, at=[1, 1, 0]), -60, 100, 5)


def test_nothing_need_be_observed_anew_when_no_account_changed() -> None:
    """As when more is held of it."""
    assert is_second(seen(100, at=[0]), seen(100, at=[0]), 100)


def test_all_must_be_observed_anew_when_there_is_nothing_to_compare_them_with() -> None:
    assert not is_second(seen(0, 5, at=[0, 0]), seen(0, 5, at=[1, 0]), 100)
    assert is_second(seen(0, 5, at=[0, 0]), seen(0, 5, at=[1, 1]), 100)
    part = make_snapshot(POLICY, 1000, missing=[NOT_READ])
    assert not is_second(part, part, 100)
    assert not is_second(part, make_snapshot(POLICY, 1000, 5, missing=[NOT_READ]), 100), (
        "it is unknown which one is new"
    )


def test_block_tells_observations_apart_where_there_are_blocks() -> None:
    """A node that reports the time of the request may still have read the same block."""
    late = NOON + timedelta(seconds=1)
    assert not Observation(late, 7).follows(Observation(NOON, 7))
    assert Observation(NOON, 8).follows(Observation(NOON, 7))
    assert Observation(late, None).follows(Observation(NOON, 7))


def test_any_reading_is_a_second_look_when_nobody_dates_it() -> None:
    undated = seen(0, at=[0])._replace(seen=(), equity_seen=None)
    assert is_second(undated, undated, 100)
    assert is_second(undated, undated, 0, equity=5000)


@given(
    amount=st.integers(0, 400),
    equity=st.sampled_from([1000, 5000, 0]),
    repeats=st.lists(st.sampled_from([0.5, 10, 30]), min_size=1, max_size=8),
)
@settings(max_examples=200)
def test_observation_is_never_confirmed_by_itself_within_two_minutes(
    amount: int, equity: int, repeats: list[float]
) -> None:
    mode = Watched(max_staleness=timedelta(hours=1))
    mode.look(150)
    mode.look(amount, equity=equity)
    doubted, waited = mode.state.doubted, 0.0
    for after in repeats:
        waited += after
        mode.look(amount, equity=equity, after=after, age=waited, equity_age=waited)
        assert not mode.step.recheck  # type: ignore[union-attr]
        if doubted is not None and waited < 120:
            assert mode.state.doubted is doubted
            assert mode.said == []
        else:
            assert mode.state.doubted is None
    mode.look(amount, equity=equity, after=1)
    assert mode.state.doubted is None
    assert mode.state.believed_equity == equity


def test_missing_equity_is_not_observed() -> None:
    snapshot = find(POLICY, Missing("nav: timeout"), [make_balance(1)])
    assert (snapshot.equity_seen, snapshot.seen) == (None, (Observation(NOON),))
