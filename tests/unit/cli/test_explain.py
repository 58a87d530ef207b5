"""How `reservd check --explain` describes what is uncertain."""

import io
from decimal import Decimal

import pytest
from rich.console import Console

from reservd.cli.explain import print_explanation
from reservd.reserve.amounts import ZERO
from reservd.reserve.explanation import EquityInput, Explanation
from reservd.reserve.models import Bounds, ReserveStatus
from support.reserve import NOT_READ, make_policy, make_snapshot


@pytest.mark.parametrize(
    ("bounds", "line"),
    [
        (Bounds(None, None), "reserve   ? USDT: nothing is certain"),
        (Bounds(ZERO, None), "reserve   not certain: from 0.00 up USDT"),
        (Bounds(None, Decimal(5)), "reserve   not certain: from anything to 5.00 USDT"),
        (Bounds(Decimal(1), Decimal(5)), "reserve   not certain: from 1.00 to 5.00 USDT"),
    ],
)
def test_reserve_is_told_as_far_as_it_is_certain(bounds: Bounds, line: str) -> None:
    snapshot = make_snapshot(make_policy(), missing=[NOT_READ])._replace(bounds=bounds)
    told = io.StringIO()
    print_explanation(
        Console(file=told, width=200),
        Explanation(snapshot, "not certain", ReserveStatus.UNKNOWN, None, EquityInput("nav", problem="timeout")),
    )
    assert line in told.getvalue()
