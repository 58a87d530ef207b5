"""What an explanation keeps of the parts of an equity."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from reservd.reserve.explanation import believable_components
from reservd.reserve.readings import Component, Price
from support.reserve import NOON

PART = Component(Decimal(5), NOON, Price("ETH", "USDT", Decimal(2500), NOON))


def forged(**fields: Any) -> Component:
    """Return a part with invalid values, as a plugin could create it despite the types."""
    return replace(PART, **fields)


@pytest.mark.parametrize(
    "nonsense",
    [
        5,
        "5",
        Decimal("NaN"),
        forged(amount=5.0),
        forged(observed_at="noon"),
        forged(observed_at=datetime(2026, 1, 1)),  # noqa: DTZ001  # the nonsense
        forged(price="2500"),
    ],
)
def test_part_of_an_equity_that_is_nonsense_is_left_out_and_the_others_stay(nonsense: object) -> None:
    parts = {"a": Decimal(3), "b": nonsense, "c": PART, "d": forged(price=None)}
    assert believable_components(parts) == {"a": Decimal(3), "c": PART, "d": forged(price=None)}


@pytest.mark.parametrize("nonsense", [None, 3, ["a"]])
def test_equity_has_no_parts_when_they_are_no_mapping(nonsense: object) -> None:
    assert believable_components(nonsense) == {}
