"""What is stored as JSON names its type, and is read back unchanged."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from reservd.store.encoding import encode


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


@dataclass(frozen=True)
class Box:
    width: Decimal
    label: str = "%s"


class Leaf(NamedTuple):
    amount: Decimal | None
    at: datetime
    text: str
    number: int
    flag: bool


class Tree(NamedTuple):
    leaves: tuple[Leaf, ...]
    by_name: Mapping[str, Decimal]
    ratio: float | None = None


MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False)
LEAVES = st.builds(Leaf, st.none() | AMOUNTS, MOMENTS, st.text(), st.integers(), st.booleans())
TREES = st.builds(
    Tree,
    st.lists(LEAVES, max_size=3).map(tuple),
    st.dictionaries(st.text(), AMOUNTS, max_size=3),
    st.none() | st.floats(-1, 1),
)


@given(TREES)
def test_record_is_read_back_as_it_was(tree: Tree) -> None:
    assert TypeAdapter(Tree).validate_json(encode(tree)) == tree


@given(AMOUNTS)
def test_amount_is_written_without_an_exponent(amount: Decimal) -> None:
    (text,) = json.loads(encode((amount,)))
    assert text == format(amount, "f")


def test_every_kind_of_value_is_written_as_json_has_it() -> None:
    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
    values: tuple[Any, ...] = (
        Colour.RED,
        Size.SMALL,
        Box(Decimal("1E+3")),
        moment,
        date(2026, 3, 1),
        None,
        True,
        0.5,
        (),
        {},
    )
    assert json.loads(encode(values)) == [
        "red",
        1,
        {"width": "1000", "label": "%s"},
        "2026-03-01T12:00:00.000005+00:00",
        "2026-03-01",
        None,
        True,
        0.5,
        [],
        {},
    ]
