from decimal import Decimal

import pytest

from reservd.reserve.models import Bounds, ReserveStatus
from reservd.reserve.policy import Missing
from reservd.reserve.reasons import why_doubted, why_found, why_status, why_unknown
from support.reserve import NOT_READ, make_policy, make_snapshot

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus
POLICY = make_policy()


@pytest.mark.parametrize(
    ("balance", "status", "text"),
    [
        ("80.5", LOW, "80.5 of 100 USDT is 0.805 of the target, below 1.0 (low); 19.5 USDT short"),
        ("99.999999999", LOW, "99.999999 of 100 USDT is 0.9999 of the target, below 1.0 (low); 0.000000001 USDT short"),
        ("101", LOW, "101 of 100 USDT is 1.01 of the target, not yet the 1.02 that ends low"),
        ("20", CRITICAL, "20 of 100 USDT is 0.2 of the target, below 0.5 (critical); 80 USDT short"),
        ("51", CRITICAL, "51 of 100 USDT is 0.51 of the target, not yet the 0.52 that ends critical"),
        ("-7", CRITICAL, "-7 of 100 USDT is -0.07 of the target, below 0.5 (critical); 107 USDT short"),
        ("140", ADEQUATE, "140 of 100 USDT is 1.4 of the target"),
    ],
)
def test_reason_names_amounts_and_threshold_when_all_was_read(balance: str, status: ReserveStatus, text: str) -> None:
    assert why_status(make_snapshot(POLICY, balance), status, POLICY) == text


def test_reason_names_no_shortfall_when_the_low_threshold_is_above_the_target() -> None:
    policy = make_policy(low_threshold=Decimal("1.5"))
    text = why_status(make_snapshot(policy, 120), LOW, policy)
    assert text == "120 of 100 USDT is 1.2 of the target, below 1.5 (low)"


def test_reason_names_what_is_certain_when_not_all_was_read() -> None:
    snapshot = make_snapshot(POLICY, 120, missing=[NOT_READ])
    assert why_status(snapshot, ADEQUATE, POLICY) == "at least 120 of 100 USDT; not read: bank/spot: timeout"


def test_reason_stays_true_when_only_an_upper_bound_is_certain() -> None:
    snapshot = make_snapshot(POLICY, missing=[NOT_READ])._replace(bounds=Bounds(None, Decimal(3)))
    assert why_status(snapshot, CRITICAL, POLICY) == "at most 3 of 100 USDT; not read: bank/spot: timeout"
    assert why_status(snapshot._replace(bounds=None), CRITICAL, POLICY).startswith("the status does not depend on")


def test_reason_names_both_bounds_when_both_are_certain() -> None:
    snapshot = make_snapshot(POLICY, missing=[NOT_READ])._replace(bounds=Bounds(Decimal("2.5"), Decimal(30)))
    assert why_status(snapshot, CRITICAL, POLICY).startswith("between 2.5 and 30 of 100 USDT; not read: ")


def test_reason_of_one_check_is_that_of_its_status() -> None:
    assert why_found(make_snapshot(POLICY, 140), POLICY) == "140 of 100 USDT is 1.4 of the target"


def test_reason_of_one_check_says_what_is_not_certain() -> None:
    snapshot = make_snapshot(POLICY, missing=[NOT_READ])._replace(bounds=Bounds(Decimal(20), Decimal(80)))
    assert why_found(snapshot, POLICY) == (
        "between 20 and 80 of 100 USDT, so more than one status is possible; not certain: bank/spot: timeout"
    )
    assert why_found(snapshot._replace(bounds=Bounds(None, None)), POLICY) == "not certain: bank/spot: timeout"
    assert why_found(make_snapshot(POLICY, 5, equity=None), POLICY) == "not certain: nav: timeout"


def test_reason_says_why_the_target_is_zero() -> None:
    assert (
        why_status(make_snapshot(POLICY, 5, equity=0), ADEQUATE, POLICY) == "the target is 0, because the equity is 0"
    )
    policy = make_policy(ratio=Decimal(0))
    assert why_status(make_snapshot(policy, 5), ADEQUATE, policy) == "the target is 0, because the reserve ratio is 0"


def test_reason_is_only_the_status_when_no_numbers_are_remembered() -> None:
    assert why_status(None, LOW, POLICY) == "the reserve is low"
    assert why_status(make_snapshot(POLICY, 5, equity=None), LOW, POLICY) == "the reserve is low"


def test_reason_of_unknown_names_the_first_few_when_much_is_missing() -> None:
    missing = [Missing(f"bank/{number}: timeout") for number in range(1000)]
    text = why_unknown(150.4, make_snapshot(POLICY, missing=missing))
    assert text == "no conclusive check for 150 s: bank/0: timeout; bank/1: timeout; bank/2: timeout; and 997 more"


def test_reason_of_unknown_stays_a_sentence_when_nothing_is_named() -> None:
    snapshot = make_snapshot(POLICY, 5)._replace(status=UNKNOWN)
    assert why_unknown(3, snapshot) == "no conclusive check for 3 s: more than one status is possible"


def test_reason_of_doubt_names_what_moved() -> None:
    text = why_doubted(130, Decimal(120), Decimal(1000), make_snapshot(POLICY, 0))
    assert text == "no conclusive check for 130 s: balance went from 120 to 0 USDT, and no second reading agrees"
    text = why_doubted(130, None, Decimal(1000), make_snapshot(POLICY, 120, equity=10))
    assert text == "no conclusive check for 130 s: equity went from 1,000 to 10 USDT, and no second reading agrees"


def test_reason_of_doubt_stays_a_sentence_when_only_one_of_several_accounts_moved() -> None:
    text = why_doubted(70, Decimal(120), Decimal(1000), make_snapshot(POLICY, 120, equity=1000))
    moved = "an account, or a part of the equity, is no longer what it was"
    assert text == f"no conclusive check for 70 s: {moved}, and no second reading agrees"
