import json
from decimal import Decimal, localcontext

import pytest
from pydantic import TypeAdapter, ValidationError

from reservd.reserve.models import Amount, EventType, ReserveEvent, ReserveStatus
from support.reserve import NOON, make_policy, make_snapshot


def make_event(**changes: object) -> ReserveEvent:
    fields: dict[str, object] = {
        "event_type": "reserve_low",
        "strategy_mode": "lending",
        "timestamp": NOON,
        "reserve_balance": Decimal(80),
        "target_reserve": Decimal(100),
        "utilization": Decimal("0.8"),
        **changes,
    }
    return ReserveEvent(**fields)  # type: ignore[arg-type]


def test_severity_grows_when_the_status_worsens() -> None:
    assert [ReserveStatus(word).severity for word in ("adequate", "low", "critical")] == [0, 1, 2]


def test_severity_is_refused_when_the_status_is_unknown() -> None:
    with pytest.raises(KeyError):
        _ = ReserveStatus.UNKNOWN.severity


@pytest.mark.parametrize("status", list(ReserveStatus))
def test_event_type_is_named_after_the_status(status: ReserveStatus) -> None:
    assert EventType.of(status).value == f"reserve_{status.value}"


def test_shortfall_is_exact_when_the_caller_rounds_to_three_digits() -> None:
    snapshot = make_snapshot(make_policy(), "99.000000000000000000000000000000000001")
    with localcontext(prec=3):
        assert snapshot.shortfall == Decimal("0.999999999999999999999999999999999999")


@pytest.mark.parametrize(("amount", "shortfall"), [(80, 20), (100, 0), (250, 0), (0, 100), (-50, 150)])
def test_shortfall_is_what_lacks_to_the_target(amount: object, shortfall: int) -> None:
    assert make_snapshot(make_policy(), amount).shortfall == shortfall


def test_shortfall_is_none_when_balance_or_equity_is_unknown() -> None:
    assert make_snapshot(make_policy(), 80, equity=None).shortfall is None
    assert make_snapshot(make_policy()).shortfall is None


def test_event_is_made_when_only_the_documents_own_fields_are_given() -> None:
    event = make_event()
    assert (event.event_type, event.id, event.sequence, event.reminder) == (EventType.LOW, "", 0, False)


def test_event_writes_plain_decimal_strings_when_it_is_json() -> None:
    event = make_event(reserve_balance=Decimal("0E-18"), target_reserve=Decimal("5E+4"), utilization=None)
    data = json.loads(event.model_dump_json())
    assert data["reserve_balance"] == "0.000000000000000000"
    assert data["target_reserve"] == "50000"
    assert data["utilization"] is None
    assert ReserveEvent.model_validate_json(event.model_dump_json()) == event


def test_event_takes_more_decimals_than_a_reading_may_have() -> None:
    """Target and shortfall are products, and may have more decimals than their factors."""
    target = Decimal("1e-60") * Decimal("0.05")
    assert make_event(target_reserve=target).target_reserve == target


@pytest.mark.parametrize("amount", [Decimal("NaN"), Decimal("Infinity")])
def test_event_is_refused_when_an_amount_is_not_finite(amount: object) -> None:
    with pytest.raises(ValidationError):
        make_event(reserve_balance=amount)


def test_event_is_refused_when_its_time_has_no_zone() -> None:
    with pytest.raises(ValidationError):
        make_event(timestamp=NOON.replace(tzinfo=None))


def test_amount_is_refused_when_it_is_absurd() -> None:
    with pytest.raises(ValidationError, match="below 1e60"):
        TypeAdapter(Amount).validate_python(Decimal("1e60"))
