"""What holds for any amounts."""

from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from reservd.reserve.models import Bounds, ReserveStatus
from reservd.reserve.policy import Missing, classify, classify_bounds, status_of
from support.reserve import make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
POLICY = make_policy()
AMOUNTS = st.decimals(min_value="-1e12", max_value="1e12", places=6)
POSITIVE = st.decimals(min_value="0.000001", max_value="1e12", places=6)
FACTORS = st.integers(-25, 25).flatmap(
    lambda exponent: st.integers(1, 9999).map(lambda digits: Decimal(digits).scaleb(exponent))
)
REMEMBERED = st.sampled_from([None, ADEQUATE, LOW, CRITICAL, UNKNOWN])


def times(a: Decimal, b: Decimal) -> Decimal:
    with localcontext(prec=300):
        return a * b


@given(AMOUNTS, POSITIVE, REMEMBERED, FACTORS)
def test_status_stays_when_all_amounts_are_scaled(
    balance: Decimal, target: Decimal, previous: ReserveStatus | None, factor: Decimal
) -> None:
    """In wei or in trillions: the unit of amounts must not matter."""
    scaled = classify(times(balance, factor), times(target, factor), POLICY, previous)
    assert scaled is classify(balance, target, POLICY, previous)


@given(AMOUNTS, AMOUNTS, POSITIVE, REMEMBERED)
def test_status_never_worsens_when_the_balance_grows(
    a: Decimal, b: Decimal, target: Decimal, previous: ReserveStatus | None
) -> None:
    less, more = (classify(balance, target, POLICY, previous) for balance in sorted((a, b)))
    assert more.severity <= less.severity


@given(AMOUNTS, POSITIVE)
def test_status_never_improves_when_the_last_one_was_worse(balance: Decimal, target: Decimal) -> None:
    severities = [classify(balance, target, POLICY, previous).severity for previous in (ADEQUATE, LOW, CRITICAL)]
    assert severities == sorted(severities)


ENDS = st.one_of(st.none(), AMOUNTS)


@given(ENDS, ENDS, POSITIVE, REMEMBERED, st.lists(AMOUNTS, min_size=1, max_size=5))
def test_bounds_tell_only_what_holds_anywhere_between_them(
    lower: Decimal | None, upper: Decimal | None, target: Decimal, previous: ReserveStatus | None, inside: list[Decimal]
) -> None:
    if lower is not None and upper is not None:
        lower, upper = sorted((lower, upper))
    told = classify_bounds(Bounds(lower, upper), target, POLICY, previous)
    for balance in inside:
        if (lower is None or balance >= lower) and (upper is None or balance <= upper):
            assert told in {UNKNOWN, classify(balance, target, POLICY, previous)}


@given(AMOUNTS, AMOUNTS, POSITIVE, REMEMBERED)
def test_bounds_never_worsen_when_both_ends_grow(
    a: Decimal, b: Decimal, target: Decimal, previous: ReserveStatus | None
) -> None:
    """If the lower and the higher end both give a status, that of the higher end is no worse."""
    less, more = (classify_bounds(Bounds(end, None), target, POLICY, previous) for end in sorted((a, b)))
    assert less is not ADEQUATE or more is ADEQUATE
    less, more = (classify_bounds(Bounds(None, end), target, POLICY, previous) for end in sorted((a, b)))
    assert more is not CRITICAL or less is CRITICAL


@given(st.lists(AMOUNTS, max_size=4), st.booleans(), REMEMBERED)
def test_partial_sum_is_never_low_or_critical_when_an_account_is_missing(
    amounts: list[Decimal], non_negative: bool, previous: ReserveStatus | None
) -> None:
    snapshot = make_snapshot(POLICY, *amounts, missing=[Missing("bank/spot: timeout", non_negative)])
    assert status_of(snapshot, POLICY, previous) in {ADEQUATE, UNKNOWN}


@given(st.lists(AMOUNTS, min_size=1, max_size=8), POSITIVE)
def test_snapshot_stays_when_the_balance_is_split_over_accounts(parts: list[Decimal], equity: Decimal) -> None:
    with localcontext(prec=100):
        whole = make_snapshot(POLICY, sum(parts), equity=equity)
    split = make_snapshot(POLICY, *parts, equity=equity)
    assert split._replace(parts=whole.parts, seen=whole.seen) == whole
    assert split.parts == tuple(parts)
    assert len(split.seen) == len(parts)


@given(AMOUNTS, POSITIVE, st.decimals(min_value=0, max_value=1, places=4))
def test_snapshot_stays_when_the_caller_rounds_to_three_digits(
    balance: Decimal, equity: Decimal, ratio: Decimal
) -> None:
    policy = make_policy(ratio=ratio)
    expected = make_snapshot(policy, balance, equity=equity, held="0.123456789")
    with localcontext(prec=3):
        assert make_snapshot(policy, balance, equity=equity, held="0.123456789") == expected
