"""Properties of any history of one mode."""

from datetime import timedelta
from decimal import Decimal, localcontext

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reservd.reserve.models import ReserveStatus
from reservd.reserve.policy import Missing
from support.reserve import DEBT_NOT_READ, NOT_READ, Watched

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus

Look = tuple[list[int], int | None, tuple[Missing, ...], int]
"""Balances, equity, what is missing, and the seconds since the last check."""
LOOK = st.tuples(
    st.lists(st.integers(-50, 400), max_size=2),
    st.sampled_from([0, 400, 900, 1000, 1100, 3000, -1, None]),
    st.sampled_from([(), (), (), (NOT_READ,), (DEBT_NOT_READ,)]),
    st.sampled_from([1, 30, 121, 400]),
)
LOOKS = st.lists(LOOK, max_size=25)


@given(LOOKS, st.integers(1, 9999), st.integers(-25, 25))
@settings(max_examples=60)
def test_history_stays_when_all_amounts_are_scaled(looks: list[Look], digits: int, exponent: int) -> None:
    factor = Decimal(digits).scaleb(exponent)
    plain, scaled = Watched(), Watched()
    with localcontext(prec=100):
        for amounts, equity, missing, after in looks:
            plain.look(*amounts, equity=equity, missing=missing, after=after)
            scaled_equity = None if equity is None else factor * equity
            scaled.look(*(factor * amount for amount in amounts), equity=scaled_equity, missing=missing, after=after)
            assert scaled.status is plain.status
            assert scaled.step[2:] == plain.step[2:]
    changing = {"reserve_balance", "target_reserve", "total_equity", "shortfall", "reason"}
    assert [event.model_dump(exclude=changing) for event in scaled.events] == [
        event.model_dump(exclude=changing) for event in plain.events
    ]


@given(LOOKS, st.sampled_from([("1",), ("0.5", "0.5"), ("0.25", "0.75"), ("0.1", "0.2", "0.7")]))
@settings(max_examples=60)
def test_history_stays_when_balances_are_split_over_accounts(looks: list[Look], shares: tuple[str, ...]) -> None:
    """Unless one of them falls to 0 alone, which must be confirmed."""
    whole, split = Watched(), Watched()
    for amounts, equity, missing, after in looks:
        whole.look(*amounts, equity=equity, missing=missing, after=after)
        parts = [amount * Decimal(share) for amount in amounts for share in shares]
        split.look(*parts, equity=equity, missing=missing, after=after)
    forgotten = {"good": None, "doubted": None, "told": None, "believed_parts": ()}
    assert split.state._replace(**forgotten) == whole.state._replace(**forgotten)
    assert split.state.input_age == whole.state.input_age
    changing = {"reserve_balance", "target_reserve", "total_equity", "shortfall"}
    assert [event.model_dump(exclude=changing) for event in split.events] == [
        event.model_dump(exclude=changing) for event in whole.events
    ]


@given(LOOKS)
@settings(max_examples=60)
def test_unknown_comes_once_and_only_after_the_maximum_staleness_when_nothing_can_be_read(looks: list[Look]) -> None:
    """Before, inconclusive checks change nothing; afterwards, nothing is added."""
    mode = Watched(repeat_interval=timedelta(days=1))
    for amounts, equity, missing, after in looks:
        mode.look(*amounts, equity=equity, missing=missing, after=after)
    assume(mode.status is not UNKNOWN)
    before = mode.state
    while mode.seconds + 10 <= before.good_at + 120:
        mode.fail(after=10)
        assert mode.state == before
    assert mode.fail(after=10).event_type == "reserve_unknown"
    after = mode.state
    assert [mode.fail(after=10) for _ in range(3)] == [None, None, None]
    assert mode.state == after
