from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reservd.reserve.amounts import add, check_amount, describe, multiply, parse_amount, ratio, subtract

AMOUNTS = st.decimals(min_value="-1e59", max_value="1e59", places=60, allow_nan=False)


class PlatformFloat(float):
    """A float as in numeric libraries: its repr is not a number."""

    def __repr__(self) -> str:
        return f"platform.float64({float(self)})"


class Subclass(Decimal):
    pass


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        ("12.5", "12.5"),
        (" -3 ", "-3"),
        (12, "12"),
        (0.1, "0.1"),
        (1e22, "1E+22"),
        (PlatformFloat(0.25), "0.25"),
        (Decimal("1.50"), "1.50"),
        ("0E-18", "0E-18"),
        ("1e-60", "1E-60"),
        (10**59, str(10**59)),
        (0, "0"),
    ],
)
def test_parse_amount_keeps_every_digit_when_it_is_a_number(value: object, amount: str) -> None:
    assert str(parse_amount(value)) == amount


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("sNaN"),
    ],
)
def test_parse_amount_refuses_when_it_is_not_finite(value: object) -> None:
    with pytest.raises(ValueError, match="equity must be a finite number"):
        parse_amount(value, "equity")


@pytest.mark.parametrize("value", ["1e60", "-1e60", "1e-61", "1e999999", 10**60, "0E-61", "1." + "0" * 61])
def test_parse_amount_refuses_when_it_is_absurd(value: object) -> None:
    with pytest.raises(ValueError, match="60 decimals"):
        parse_amount(value)


def test_parse_amount_stays_short_when_it_refuses_a_long_number() -> None:
    with pytest.raises(ValueError, match="below 1e60") as refused:
        parse_amount("9" * 100_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", ["", "twelve", "12,5", "0x10", "1.2.3"])
def test_parse_amount_refuses_when_the_text_is_no_number(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number"):
        parse_amount(value)


@pytest.mark.parametrize("value", [True, None, [1], b"1", 1j])
def test_parse_amount_refuses_when_the_type_is_no_number(value: object) -> None:
    with pytest.raises(TypeError, match="must be a number"):
        parse_amount(value)


@pytest.mark.parametrize("value", [1, 1.0, "1", Subclass(1)])
def test_check_amount_refuses_when_it_is_not_a_plain_decimal(value: object) -> None:
    with pytest.raises(TypeError, match="must be a Decimal"):
        check_amount(value)


@given(AMOUNTS, AMOUNTS)
@settings(max_examples=50)
def test_sums_and_products_are_exact_when_the_caller_rounds_to_three_digits(a: Decimal, b: Decimal) -> None:
    """The decimal context of an embedding program must not affect the reserve's arithmetic."""
    with localcontext(prec=1000):
        total, difference, product = a + b, a - b, a * b
    with localcontext(prec=3):
        assert add(a, b) == total
        assert subtract(a, b) == difference
        assert multiply(a, b) == product


def test_ratio_stays_below_one_when_the_part_is_a_hair_less_than_the_whole() -> None:
    assert ratio(Decimal("9" * 50), Decimal("1e50")) < 1


@pytest.mark.parametrize(
    ("amount", "down", "up"),
    [
        ("40000.6543219", "40,000.654", "40,000.655"),
        ("49999.99999", "49,999.999", "50,000"),
        ("50000.000", "50,000", "50,000"),
        ("-1.000000001", "-1.0000001", "-1"),
        ("0E-18", "0", "0"),
        ("-0", "0", "0"),
        ("1e20", "100,000,000,000,000,000,000", "100,000,000,000,000,000,000"),
        ("0.000000000000000001", "0.000000000000000001", "0.000000000000000001"),
    ],
)
def test_describe_never_makes_a_shortfall_look_smaller_when_it_rounds(amount: str, down: str, up: str) -> None:
    assert describe(Decimal(amount)) == down
    assert describe(Decimal(amount), round_up=True) == up
