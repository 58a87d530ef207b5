from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest

from reservd.reserve.equity import believe_equity, believed_beside
from reservd.reserve.models import Bounds, Observation, ReserveStatus
from reservd.reserve.policy import Missing, classify, classify_bounds, is_current, status_of
from reservd.reserve.readings import Equity
from support.reserve import DEBT_NOT_READ, NOON, NOT_READ, find, make_balance, make_equity, make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
POLICY = make_policy()


def times(a: Decimal, b: Decimal) -> Decimal:
    with localcontext(prec=300):
        return a * b


@pytest.mark.parametrize(
    ("balance", "status"),
    [
        ("250", ADEQUATE),
        ("100", ADEQUATE),
        ("99.999999999999999999", LOW),
        ("50", LOW),
        ("49.999999999999999999", CRITICAL),
        ("0", CRITICAL),
        ("-1", CRITICAL),
    ],
)
def test_status_counts_the_threshold_itself_as_reached(balance: str, status: ReserveStatus) -> None:
    assert classify(Decimal(balance), Decimal(100), POLICY) is status


@pytest.mark.parametrize(
    ("previous", "balance", "status"),
    [
        (LOW, "101.99", LOW),
        (LOW, "102", ADEQUATE),
        (LOW, "50", LOW),
        (LOW, "49.99", CRITICAL),
        (CRITICAL, "51.99", CRITICAL),
        (CRITICAL, "52", LOW),
        (CRITICAL, "101.99", LOW),
        (CRITICAL, "102", ADEQUATE),
        (ADEQUATE, "100", ADEQUATE),
        (UNKNOWN, "100", ADEQUATE),
    ],
)
def test_recovery_needs_the_margin_when_the_status_was_worse(
    previous: ReserveStatus | None, balance: str, status: ReserveStatus
) -> None:
    assert classify(Decimal(balance), Decimal(100), POLICY, previous) is status


def test_thresholds_of_the_requirements_sample_mean_what_its_comments_say() -> None:
    policy = make_policy(low_threshold=Decimal("0.5"), critical_threshold=Decimal("0.2"))
    statuses = [classify(Decimal(balance), Decimal(100), policy) for balance in (50, 49, 20, 19)]
    assert statuses == [ADEQUATE, LOW, LOW, CRITICAL]


@pytest.mark.parametrize("balance", [-100, 0, 100])
def test_status_is_adequate_when_the_target_is_zero(balance: int) -> None:
    assert classify(Decimal(balance), Decimal(0), POLICY) is ADEQUATE
    for snapshot in (
        make_snapshot(POLICY, balance, equity=0),
        make_snapshot(replace(POLICY, ratio=Decimal(0)), balance),
        make_snapshot(POLICY, balance, equity="-0.00"),
    ):
        assert (snapshot.status, snapshot.target_reserve, snapshot.reserve_utilization) == (ADEQUATE, 0, None)
        assert status_of(snapshot, POLICY, CRITICAL) is ADEQUATE


def test_status_is_adequate_when_the_target_is_zero_and_nothing_was_read() -> None:
    """With a target of 0 any balance is enough."""
    snapshot = make_snapshot(POLICY, equity=0, missing=[DEBT_NOT_READ])
    assert snapshot.status is ADEQUATE
    assert status_of(snapshot, POLICY, LOW) is ADEQUATE


def test_target_is_the_whole_equity_when_the_ratio_is_one() -> None:
    snapshot = make_snapshot(make_policy(ratio=Decimal(1)), 999)
    assert (snapshot.target_reserve, snapshot.status) == (1000, LOW)


def test_snapshot_tells_everything_when_all_was_read() -> None:
    early, late = NOON - timedelta(seconds=20), NOON - timedelta(seconds=5)
    balances = [make_balance("50.5", at=late), make_balance("20.5", at=early)]
    snapshot = find(POLICY, make_equity(1000, at=late), balances, (), held=Decimal(1))
    assert snapshot.reserve_balance == 70
    assert snapshot.held == 1
    assert snapshot.target_reserve == 100
    assert snapshot.reserve_utilization == Decimal("0.7")
    assert snapshot.status is LOW
    assert snapshot.observed_at == early
    assert snapshot.timestamp == NOON
    assert (snapshot.bounds, snapshot.missing) == (None, ())


def test_snapshot_is_unknown_when_equity_is_negative() -> None:
    snapshot = make_snapshot(POLICY, 500, equity=-1)
    assert (snapshot.status, snapshot.total_equity, snapshot.target_reserve) == (UNKNOWN, None, None)
    assert snapshot.reserve_balance == 500
    assert snapshot.missing == ("equity is negative (-1)",)


@pytest.mark.parametrize(
    ("equity", "why"),
    [
        (None, "equity is unknown"),
        (Missing("nav: unreachable"), "nav: unreachable"),
        (replace(make_equity(1000), currency="usdt"), "equity is in usdt, not in USDT"),
        (make_equity(1000, complete=False), "equity is incomplete"),
        (make_equity(1000, at=NOON - timedelta(seconds=121)), "equity is dated 2026-01-05T11:57:59"),
        (make_equity(1000, at=NOON + timedelta(seconds=121)), "equity is dated 2026-01-05T12:02:01"),
    ],
)
def test_snapshot_is_unknown_and_keeps_the_balance_when_equity_cannot_be_believed(
    equity: Equity | Missing | None, why: str
) -> None:
    snapshot = find(POLICY, equity, [make_balance(500)])
    assert (snapshot.status, snapshot.total_equity, snapshot.reserve_balance) == (UNKNOWN, None, 500)
    assert snapshot.missing[0].startswith(why)
    assert status_of(snapshot, POLICY, LOW) is UNKNOWN


def test_snapshot_is_unknown_when_no_balance_was_read_and_none_is_missing() -> None:
    """A mode without any reading is not an empty wallet."""
    snapshot = make_snapshot(POLICY)
    assert (snapshot.status, snapshot.reserve_balance, snapshot.bounds) == (UNKNOWN, None, Bounds(None, None))
    assert snapshot.missing == ("no balance was read",)


def test_snapshot_lists_all_that_is_missing() -> None:
    snapshot = make_snapshot(POLICY, 5, equity=None, missing=[NOT_READ, DEBT_NOT_READ])
    assert snapshot.missing == ("bank/spot: timeout", "margin/main: timeout", "nav: timeout")


@pytest.mark.parametrize(
    ("missing", "status", "bounds"),
    [
        ([], ADEQUATE, None),
        ([NOT_READ], ADEQUATE, Bounds(Decimal(120), None)),
        ([NOT_READ, DEBT_NOT_READ], UNKNOWN, Bounds(None, None)),
    ],
)
def test_partial_balance_is_adequate_only_when_what_is_missing_cannot_be_debt(
    missing: list[Missing], status: ReserveStatus, bounds: Bounds | None
) -> None:
    snapshot = make_snapshot(POLICY, 120, missing=missing)
    assert (snapshot.status, snapshot.bounds) == (status, bounds)


def test_holds_are_taken_off_a_partial_balance_too() -> None:
    assert make_snapshot(POLICY, 120, missing=[NOT_READ], held=30).status is UNKNOWN


@pytest.mark.parametrize(
    ("lower", "upper", "previous", "status"),
    [
        (100, 500, None, ADEQUATE),
        (99, 500, None, UNKNOWN),
        (60, 99, None, LOW),
        (60, 101, None, UNKNOWN),
        (60, 101, LOW, LOW),
        (None, 49, None, CRITICAL),
        (None, 51, None, UNKNOWN),
        (None, 51, CRITICAL, CRITICAL),
        (101, None, None, ADEQUATE),
        (101, None, LOW, UNKNOWN),
        (None, None, CRITICAL, UNKNOWN),
    ],
)
def test_bounds_tell_a_status_only_when_both_ends_have_it(
    lower: int | None, upper: int | None, previous: ReserveStatus | None, status: ReserveStatus
) -> None:
    """Both ends are classified with the margin of the last confirmed status."""
    bounds = Bounds(*(Decimal(end) if end is not None else None for end in (lower, upper)))
    assert classify_bounds(bounds, Decimal(100), POLICY, previous) is status
    alone = classify_bounds(bounds, Decimal(100), POLICY)
    snapshot = make_snapshot(POLICY, 0)._replace(reserve_balance=None, bounds=bounds, status=alone)
    assert status_of(snapshot, POLICY, previous) is status


def test_status_is_unknown_when_a_handmade_snapshot_has_neither_balance_nor_bounds() -> None:
    snapshot = make_snapshot(POLICY, 80)._replace(reserve_balance=None)
    assert status_of(snapshot, POLICY, LOW) is UNKNOWN


@pytest.mark.parametrize(("seconds", "current"), [(-120, True), (120, True), (-120.001, False), (120.001, False)])
def test_reading_is_current_when_it_is_neither_too_old_nor_of_the_future(seconds: float, current: bool) -> None:
    assert is_current(NOON + timedelta(seconds=seconds), NOON, POLICY) is current


@pytest.mark.parametrize("unit", ["1e-56", "1e56"])
def test_status_is_exact_when_amounts_are_tiny_or_huge(unit: str) -> None:
    def scaled(amount: int) -> Decimal:
        return times(Decimal(amount), Decimal(unit))

    policy = make_policy(ratio=Decimal("0.1"))
    statuses = [make_snapshot(policy, scaled(amount), equity=scaled(1000)).status for amount in (100, 99, 50, 49)]
    assert statuses == [ADEQUATE, LOW, LOW, CRITICAL]


@pytest.mark.parametrize(("apart", "believed"), [(-60, True), (0, True), (60, True), (60.001, False), (-60.001, False)])
def test_check_is_inconclusive_when_equity_and_a_balance_are_too_far_apart(apart: float, believed: bool) -> None:
    """Money that moved between them would count twice, or not at all."""
    policy = make_policy(max_skew=timedelta(seconds=60))
    balances = [make_balance(100), make_balance(100, at=NOON - timedelta(seconds=apart), account="b")]
    snapshot = find(policy, make_equity(1000), balances, [])
    if believed:
        assert (snapshot.status, snapshot.total_equity, snapshot.missing) == (ADEQUATE, 1000, ())
        return
    assert (snapshot.status, snapshot.total_equity, snapshot.target_reserve) == (UNKNOWN, None, None)
    assert snapshot.reserve_balance == 200
    assert snapshot.missing == ("equity and balance are 60 s apart, more than reserve_max_skew (60)",)
    assert status_of(snapshot, policy, LOW) is UNKNOWN


def test_nothing_is_old_when_nothing_was_read() -> None:
    snapshot = find(make_policy(), Missing("nav: timeout"), [], [NOT_READ])
    assert (snapshot.observed_at, snapshot.input_age) == (None, 0)


def test_neither_skew_nor_staleness_is_of_prices() -> None:
    """They have a maximum age of their own; a second reading of an equity includes its prices."""
    policy = make_policy(max_skew=timedelta(seconds=60))
    hour_ago = NOON - timedelta(hours=1)
    snapshot = find(policy, make_equity(1000, priced_at=hour_ago), [make_balance(100)])
    assert (snapshot.status, snapshot.observed_at, snapshot.input_age) == (ADEQUATE, NOON, 0)
    assert snapshot.equity_seen == Observation(hour_ago)
    newer = find(policy, make_equity(1000, priced_at=NOON + timedelta(1)), [make_balance(100)])
    assert newer.equity_seen == Observation(NOON)


@pytest.mark.parametrize(("ahead", "status"), [(120, ADEQUATE), (121, UNKNOWN)])
def test_equity_tells_nothing_when_one_part_of_it_is_of_the_future(ahead: int, status: ReserveStatus) -> None:
    newest = NOON + timedelta(seconds=ahead)
    snapshot = find(make_policy(), make_equity(1000, newest_at=newest), [make_balance(100)])
    assert snapshot.status is status
    told = f"equity has a part dated {newest.isoformat()}, too far from the present to be trusted"
    limit = "reserve_max_staleness is 120 s"
    assert snapshot.missing == ((f"{told}: {limit}",) if status is UNKNOWN else ())


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_equity_tells_nothing_when_its_time_is_absurd(at: datetime) -> None:
    """There is no time before the first one, or after the last."""
    policy = make_policy(max_skew=timedelta(seconds=60))
    snapshot = find(policy, make_equity(1000, at=at), [make_balance(100)])
    assert (snapshot.status, snapshot.total_equity, snapshot.reserve_balance) == (UNKNOWN, None, 100)


def test_skew_is_nobodys_when_no_balance_was_read() -> None:
    policy = make_policy(max_skew=timedelta(seconds=60))
    snapshot = find(policy, make_equity(1000), [], [NOT_READ])
    assert snapshot.missing == (NOT_READ.what,)


def test_any_skew_is_believed_when_there_is_no_limit() -> None:
    snapshot = find(POLICY, make_equity(1000, at=NOON - timedelta(seconds=100)), [make_balance(100)], [], now=NOON)
    assert snapshot.status is ADEQUATE


def test_equity_is_as_believed_beside_balances_that_are_known_to_be_of_its_time() -> None:
    for policy in (make_policy(max_skew=timedelta(seconds=60)), POLICY):
        believed = believe_equity(make_equity(1000), policy, NOON)
        one = believed.beside_any()
        assert (
            believed_beside([make_balance(100)], believed, policy) == believed_beside([], one, policy) == (1000, None)
        )
        assert (one.seen, one.observed_at, one.within) == (believed.seen, believed.observed_at, None)
