"""What must raise an alarm whatever else fails: a missed shortfall leaves clients unpaid.

Each mode needs 100 USDT, a tenth of its equity of 1,000, and is checked every 30 seconds.
"""

import itertools
from datetime import timedelta
from decimal import Decimal

import pytest

from reservd.reserve.models import ReserveEvent, ReserveStatus
from support.reserve import DEBT_NOT_READ, NOT_READ, Watched

ADEQUATE, LOW, CRITICAL, UNKNOWN = ReserveStatus


@pytest.fixture
def mode() -> Watched:
    """A mode with 150 USDT that is adequate."""
    mode = Watched(repeat_interval=timedelta(days=1))
    mode.look(150)
    return mode


def test_low_is_said_at_once_when_the_reserve_falls_below_its_target(mode: Watched) -> None:
    assert mode.look("99.999999").event_type == "reserve_low"


def test_critical_is_said_at_the_second_look_when_the_wallet_was_emptied_at_once(mode: Watched) -> None:
    mode.look(0)
    assert mode.step.recheck
    assert mode.look(0, after=1).event_type == "reserve_critical"


def test_critical_is_said_when_the_wallet_was_emptied_and_only_dust_moves_after(mode: Watched) -> None:
    mode.look(0)
    mode.look("0.000001", after=1)
    assert mode.look("0.000001").event_type == "reserve_critical"


def test_critical_is_said_at_once_when_the_first_reading_ever_is_empty() -> None:
    assert Watched().look(0).event_type == "reserve_critical"


def test_critical_is_said_when_the_balance_is_negative(mode: Watched) -> None:
    mode.look(-20)
    said = mode.look(-20, after=1)
    assert (said.event_type, said.shortfall) == ("reserve_critical", 120)


def test_critical_is_said_when_a_debt_eats_what_another_account_holds(mode: Watched) -> None:
    mode.look(150, -120)
    assert mode.look(150, -120, after=1).event_type == "reserve_critical"


def test_low_is_said_when_deposits_raise_the_target(mode: Watched) -> None:
    """The equity grows while the balance stays."""
    assert mode.look(140, equity=1490).event_type == "reserve_low"


def test_low_is_said_at_the_second_look_when_the_equity_doubles(mode: Watched) -> None:
    assert mode.look(150, equity=2000) is None
    assert mode.look(150, equity=2000, after=1).event_type == "reserve_low"


def test_low_is_said_when_it_is_true_for_minutes_while_every_second_read_fails() -> None:
    mode = Watched(confirmations=3)
    mode.look(150)
    for _ in range(3):
        mode.look(90)
        mode.fail()
    assert mode.said == ["low"]


def test_low_is_said_when_a_rubbish_reading_comes_between_two_true_ones() -> None:
    """An unconfirmed jump neither counts as one of the consecutive checks nor resets their count."""
    mode = Watched(confirmations=2)
    mode.look(150)
    mode.look(90)
    mode.look(90_000)
    assert mode.look(90).event_type == "reserve_low"


def test_low_is_said_within_two_minutes_when_parts_of_the_equity_take_turns_at_zero() -> None:
    """Each zero is new, so no second reading ever agrees; the sums do."""
    mode = Watched(repeat_interval=timedelta(days=1))
    turns = itertools.cycle(range(20))

    def look(balance: int) -> ReserveEvent | None:
        zero = next(turns)
        parts = {f"coin_{number}": Decimal(number != zero) for number in range(20)}
        return mode.look(balance, equity=Decimal(1000), components={**parts, "cash": Decimal(981)})

    for _ in range(10):
        assert look(150) is None
    said = [look(80) for _ in range(5)]
    assert [event.event_type for event in said if event is not None] == ["reserve_low"]


def test_critical_is_said_at_the_second_look_although_another_part_of_the_equity_is_valued_once_a_day() -> None:
    mode = Watched(max_staleness=timedelta(days=2))
    for _ in range(3):
        mode.look_at_parts(105, bond=(300, 3600 + mode.seconds), perpetual=(700, 1))
    mode.look_at_parts(105, bond=(300, 3600 + mode.seconds), perpetual=(2700, 1))
    assert mode.step is not None
    assert mode.step.recheck
    mode.look_at_parts(105, bond=(300, 3600 + mode.seconds - 29), perpetual=(2700, 1), after=1)
    assert mode.said == ["critical"]


def test_low_is_said_within_two_minutes_when_accounts_take_turns_at_zero() -> None:
    mode = Watched(repeat_interval=timedelta(days=1))
    turns = itertools.cycle(range(3))

    def look(main: int) -> ReserveEvent | None:
        zero = next(turns)
        return mode.look(main, *(Decimal(number != zero) for number in range(3)))

    mode.look(150, 1, 1, 1)
    for _ in range(10):
        assert look(150) is None
    said = [look(80) for _ in range(5)]
    assert [event.event_type for event in said if event is not None] == ["reserve_low"]


def test_critical_is_said_when_the_missing_account_comes_back_empty() -> None:
    mode = Watched()
    mode.look(40, 110)
    mode.look(40, missing=[NOT_READ])
    mode.look(40, 0)
    assert mode.look(40, 0, after=1).event_type == "reserve_critical"


def test_unknown_is_said_when_an_old_block_keeps_being_served(mode: Watched) -> None:
    """The node answers promptly but is stuck at a block: its balance becomes too old, and the mode unknown."""
    for seconds in range(30, 300, 30):
        mode.look(150, age=seconds)
    assert mode.said == ["unknown"]
    assert "too old" in mode.events[0].reason


def test_unknown_is_said_when_the_equity_endpoint_keeps_serving_the_same_hour(mode: Watched) -> None:
    for seconds in range(30, 300, 30):
        mode.look(150, equity_age=seconds)
    assert mode.said == ["unknown"]


def test_unknown_is_said_when_a_venues_clock_runs_far_ahead(mode: Watched) -> None:
    for _ in range(6):
        mode.look(150, age=-3600)
    assert mode.said == ["unknown"]


def test_unknown_is_said_when_nothing_was_readable_since_the_start() -> None:
    mode = Watched()
    for _ in range(5):
        mode.fail()
    assert mode.said == ["unknown"]


def test_unknown_is_said_when_two_nodes_disagree_for_ever(mode: Watched) -> None:
    """Readings of 3 and 30 alternate: neither is confirmed, and the mode becomes unknown."""
    mode.look(150)
    for _ in range(4):
        mode.look(3)
        mode.look(30)
    assert mode.said == ["unknown"]


def test_incident_stays_open_when_nothing_can_be_read_after_a_low(mode: Watched) -> None:
    low = mode.look(80)
    for _ in range(20):
        mode.fail()
    assert mode.status is UNKNOWN
    assert (mode.state.incident_id, mode.state.incident_severity) == (low.incident_id, LOW)
    back = mode.look(80)
    assert (back.event_type, back.previous_status, back.incident_id) == ("reserve_low", UNKNOWN, low.incident_id)
    assert mode.look(110).incident_id == low.incident_id
    assert mode.said == ["low", "unknown", "low", "adequate"]


def test_incident_stays_open_when_a_part_of_the_balance_may_be_debt(mode: Watched) -> None:
    mode.look(80)
    mode.look(500, missing=[DEBT_NOT_READ])
    assert (mode.said, mode.status) == (["low"], LOW)


def test_incident_stays_open_when_the_recovery_is_short_of_the_margin(mode: Watched) -> None:
    mode.look(80)
    mode.look("101.99")
    assert mode.status is LOW


def test_critical_is_said_when_it_worsens_during_an_outage(mode: Watched) -> None:
    low = mode.look(80)
    for _ in range(20):
        mode.fail()
    mode.look(10)
    said = mode.look(10, after=1)
    assert (said.event_type, said.previous_status, said.incident_id) == ("reserve_critical", UNKNOWN, low.incident_id)


def test_shortfall_is_said_again_while_it_lasts() -> None:
    mode = Watched()
    mode.look(80)
    for _ in range(20):
        mode.look(80)
    assert mode.said == ["low", "(low)", "(low)"]


def test_low_is_said_when_a_single_unit_lacks_in_a_balance_of_seventy_digits() -> None:
    """Arithmetic that rounds to 28 digits would call this reserve adequate."""
    mode = Watched(ratio=Decimal(1))
    equity = Decimal("1" + "0" * 40)
    enough = Decimal("1" + "0" * 40)
    mode.look(enough, equity=equity)
    assert mode.look(Decimal("9" * 40 + "." + "9" * 30), equity=equity).event_type == "reserve_low"
